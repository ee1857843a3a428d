"""``p2vit explore``: better machines for a model, within budgets."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from p2vit.accel.engines import evaluator
from p2vit.accel.evaluate import OWN_BITS
from p2vit.accel.explore import explore as search
from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.resolve import workload_of
from p2vit.accel.space import Budget, Space, load_space
from p2vit.accel.workload import Workload
from p2vit.accel.workload_vit import Precision
from p2vit.cluster import open_pool
from p2vit.files import one_writer
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.machine import available_cpus
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import ExploreOptions


@one_writer("log")
def run_explore(
    model: str,
    hardware: str = "paper",
    options: ExploreOptions | None = None,
    *,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Search machines for a model.

    Args:
        model: An architecture's name, or a program's folder; a program has its own bits, so that the space's do not
            apply.
        hardware: Description to start from: a shipped name or a YAML file.
        options: What may be chosen; the defaults of `ExploreOptions` if None.
        out: Where progress goes.
        **changes: Fields of `ExploreOptions` that replace those of ``options``.

    Returns:
        ``points``, ``pareto`` and what belongs to them.

    Raises:
        AccelError: on anything the user can put right.
    """
    options, out = changed(ExploreOptions, options, changes), out or Feedback()
    if options.points < 1:
        raise AccelError("points", [f"{options.points} is not a positive number of points"])
    machine = load_machine(hardware)
    chosen = _with_options(load_space(options.space), options.budget, options.objectives)
    chosen.check(machine, options.space)
    workloads: dict[int, Workload]
    if Path(model).is_dir():
        chosen = chosen.without_weight_bits()
        workloads = {OWN_BITS: workload_of(model)}
        out.note(f"{model} is a program: its own bits are kept, and the machine alone is searched")
    else:
        workloads = {bits: workload_of(model, Precision(bits)) for bits in sorted(set(chosen.weight_bits))}
    with (
        out.progress() as progress,
        open_pool(options.cluster, available_cpus()) as pool,
    ):
        found = search(
            chosen,
            machine,
            workloads,
            evaluator(machine, workloads, pool),
            points=options.points,
            seed=options.seed,
            log=options.log,
            progress=partial(progress, "explore"),
        )
    return {
        "model": model,
        "hardware": machine.name,
        "technology": machine.technology,
        "modelled": True,
        "objectives": list(chosen.objectives),
        "budget": chosen.budget.model_dump(exclude_none=True),
        "seed": options.seed,
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
