"""``p2vit explore``: better machines for a model, within budgets."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from p2vit.accel.engines import evaluator
from p2vit.accel.explore import explore as search
from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.resolve import workload_of
from p2vit.accel.space import Budget, Space, load_space
from p2vit.accel.workload import Workload
from p2vit.accel.workload_vit import Precision
from p2vit.files import one_writer


@one_writer("log")
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
