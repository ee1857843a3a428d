"""``p2vit explore``: better machines for a model, within budgets."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from p2vit.accel.engines import ENGINES, evaluator
from p2vit.accel.explore import explore as search
from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.resolve import workload_of
from p2vit.accel.space import Budget, Space, load_space
from p2vit.accel.workload import Workload
from p2vit.accel.workload_vit import Precision
from p2vit.cli.common import Output, common
from p2vit.errors import P2vitError


def run_explore(
    model: str,
    hardware: str,
    *,
    space: str = "chunks",
    budget: tuple[str, ...] = (),
    objectives: tuple[str, ...] = (),
    points: int = 2000,
    seed: int = 0,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    log: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Search machines for a model.

    Args:
        model: Architecture name.
        hardware: Description to start from: a shipped name or a YAML file.
        space: Shipped search space or a YAML file.
        budget: Upper bounds as ``figure=number``, over those of the space.
        objectives: What to make small; default the space's.
        points: Points to propose.
        seed: Of the optimiser.
        workers: Default: every core of this process.
        engine: ``local``, ``ray`` or ``dask``.
        address: Of the cluster.
        log: JSON-lines file to append to and resume from.
        progress: Called with points done and points in all.

    Returns:
        ``points``, ``pareto`` and what belongs to them.

    Raises:
        AccelError: on anything the user can put right.
    """
    if points < 1:
        raise AccelError("points", [f"{points} is not a positive number of points"])
    machine = load_machine(hardware)
    chosen = _with_options(load_space(space), budget, objectives)
    chosen.check(machine, space)
    workloads: dict[int, Workload] = {
        bits: workload_of(model, Precision(bits)) for bits in sorted(set(chosen.weight_bits))
    }
    with evaluator(machine, workloads, engine=engine, workers=workers, address=address) as evaluate:
        found = search(
            chosen, machine, workloads, evaluate, points=points, seed=seed, log=log, progress=progress
        )
    return {
        "model": model,
        "hardware": machine.name,
        "technology": machine.technology,
        "modelled": True,
        "objectives": list(chosen.objectives),
        "budget": chosen.budget.model_dump(exclude_none=True),
        "seed": seed,
        "points_per_minute": found.points / found.seconds * 60,
        **asdict(found),
    }


def _with_options(space: Space, budget: tuple[str, ...], objectives: tuple[str, ...]) -> Space:
    """The space with bounds and objectives from the command line."""
    bounds, problems = space.budget.model_dump(exclude_none=True), []
    for item in budget:
        name, _, number = item.partition("=")
        if name not in Budget.model_fields:
            problems.append(
                f"budget {item!r}: no figure is called {name!r}; {did_you_mean(name, Budget.model_fields)}"
            )
            continue
        try:
            bounds[name] = float(number)
        except ValueError:
            problems.append(f"budget {item!r}: {number!r} is not a number; write for instance {name}=100")
            continue
        if not bounds[name] > 0:
            problems.append(f"budget {item!r}: must be more than 0")
    problems += [
        f"objective {name!r}: no such figure; {did_you_mean(name, Budget.model_fields)}"
        for name in objectives
        if name not in Budget.model_fields
    ]
    if problems:
        raise AccelError("explore", problems)
    changes: dict[str, Any] = {"budget": Budget(**bounds)}
    if objectives:
        changes["objectives"] = objectives
    return space.model_copy(update=changes)


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
@click.option("--points", default=2000, show_default=True, help="Points to propose.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", type=int, help="Default: every core of this process.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="Where points are evaluated.",
)
@click.option("--address", help="Of an existing cluster.")
@click.option("--resume", "log", type=click.Path(path_type=Path), help="Log to append to and to resume from.")
@common
def explore(out: Output, model: str, hardware: str, **options: Any) -> None:
    """Search machines for MODEL, to a Pareto front. Every figure is modelled."""
    progress = None if out.quiet or not sys.stderr.isatty() else _progress
    try:
        answer = run_explore(model, hardware, progress=progress, **options)
    except P2vitError as error:
        out.refuse(str(error))
        raise SystemExit(2) from None
    out.result(answer, summary(answer))
    if not answer["pareto"]:
        raise SystemExit(1)


def _progress(done: int, points: int) -> None:
    click.echo(f"\r{done:,} of {points:,} points", nl=done == points, err=True)


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
