"""``p2vit explore``: search for accelerator designs that suit a model, within budgets."""

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
    help="Accelerator to start from: a name or a YAML file.",
)
@click.option(
    "--space",
    help="Parameters to vary: a name or a YAML file. Default: rtl if Verilog of the accelerator can be "
    "generated, else chunks.",
)
@click.option(
    "--budget",
    multiple=True,
    metavar="FIGURE=NUMBER",
    help="Upper bound of a figure, e.g. area_mm2=5. Repeatable.",
)
@click.option(
    "--objective", "objectives", multiple=True, metavar="FIGURE", help="Figure to minimize. Repeatable."
)
@click.option(
    "--points", default=2000, show_default=True, type=click.IntRange(1), help="Number of designs to try."
)
@seed_option
@cluster_options
@click.option(
    "--resume", "log", type=click.Path(path_type=Path), help="Log file: continue from it and append to it."
)
@common
def explore(out: Output, model: str, hardware: str, **options: Any) -> int:
    """Search for accelerator designs that suit MODEL, and return the Pareto front.

    MODEL is an architecture's name or a program's folder. Every figure is modelled. Exit status 1 if no design fits the
    budgets.
    """
    answer = run_explore(model, hardware, out=out, **options)
    out.result(answer, summary)
    return 0 if answer["pareto"] else CHECK_FAILED


def summary(answer: dict[str, Any]) -> str:
    """Format the result for the terminal: five points spread over the Pareto front."""
    front, names = answer["pareto"], answer["objectives"]
    lines = [
        f"{answer['model']} from {answer['hardware']}: {answer['points']:,} points"
        f" ({answer['distinct']:,} different) in"
        f" {answer['seconds']:.1f} s, {answer['feasible']:,} feasible, {len(front)} on the front (modelled)"
    ]
    if not front:
        return lines[0] + "\n  no design fits the budget: raise a bound of --budget, or give a larger --space"
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
