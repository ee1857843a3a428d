"""``p2vit explore``: better machines for a model, within budgets."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, cluster_options, common, seed_option
from p2vit.workflows.explore import run_explore


@click.command("explore")
@click.argument("model")
@click.option(
    "--hw",
    "hardware",
    default="paper",
    show_default=True,
    help="Starting point: a name or a YAML file.",
)
@click.option("--space", default="chunks", show_default=True, help="What may change: a name or a YAML file.")
@click.option(
    "--budget", multiple=True, metavar="FIGURE=NUMBER", help="Upper bound, e.g. area_mm2=5; may be repeated."
)
@click.option("--objective", "objectives", multiple=True, help="Figure to make small; may be repeated.")
@click.option("--points", default=2000, show_default=True, type=click.IntRange(1), help="Points to propose.")
@seed_option
@cluster_options
@click.option("--resume", "log", type=click.Path(path_type=Path), help="Log to append to and to resume from.")
@common
def explore(out: Output, model: str, hardware: str, **options: Any) -> int:
    """Search machines for MODEL, an architecture or a program's folder, to a Pareto front. Every figure is modelled."""
    answer = run_explore(model, hardware, out=out, **options)
    out.result(answer, summary(answer))
    return 0 if answer["pareto"] else CHECK_FAILED


def summary(answer: dict[str, Any]) -> str:
    """What people read: the front's ends and middle."""
    front, names = answer["pareto"], answer["objectives"]
    lines = [
        f"{answer['model']} from {answer['hardware']}: {answer['points']:,} points"
        f" ({answer['distinct']:,} different) in"
        f" {answer['seconds']:.1f} s, {answer['feasible']:,} feasible, {len(front)} on the front (modelled)"
    ]
    if not front:
        return lines[0] + "\n  nothing fits the budget: raise a bound, or widen the space"
    picked = [
        front[i] for i in sorted({0, len(front) // 4, len(front) // 2, 3 * len(front) // 4, len(front) - 1})
    ]
    for point in picked:
        figures = ", ".join(f"{name} {point['figures'][name]:.4g}" for name in names)
        lines.append(f"  {figures}")
        lines.append(
            "    "
            + ", ".join(f"{path.split('.', 1)[-1]}={value:g}" for path, value in point["parameters"].items())
        )
    return "\n".join(lines)
