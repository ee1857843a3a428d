"""``p2vit explore``: better machines for a model, within budgets."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from p2vit.accel.edit import edit_machine
from p2vit.accel.engines import evaluator
from p2vit.accel.evaluate import OWN_BITS
from p2vit.accel.explore import explore as search
from p2vit.accel.machine import LoadStoreMachine, Machine
from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.resolve import workload_of
from p2vit.accel.space import Budget, Space, load_space
from p2vit.accel.workload import Workload
from p2vit.accel.workload_vit import Precision
from p2vit.cluster import open_pool
from p2vit.files import one_writer
from p2vit.processors import available_cpus
from p2vit.workflows.feedback import Feedback
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
    build = generated_machine if _can_be_generated(machine) else edit_machine
    space = options.space or ("rtl" if build is generated_machine else "chunks")
    chosen = _with_options(load_space(space), options.budget, options.objectives)
    chosen.check(machine, space, build)
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
            evaluator(machine, workloads, pool, build),
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


def _can_be_generated(machine: Machine) -> bool:
    """Whether `p2vit rtl` makes a machine of that name."""
    if not isinstance(machine, LoadStoreMachine):
        return False
    from p2vit.rtl.description import description_of
    from p2vit.rtl.top.machine import MACHINES

    sizes = MACHINES.get(machine.name)
    return (
        sizes is not None and description_of(sizes, machine.name, machine.clock_mhz).chunks == machine.chunks
    )


def generated_machine(machine: Machine, changes: Mapping[str, Any]) -> Machine:
    """A generated accelerator of other sizes, with everything that follows from them.

    Args:
        machine: The description to start from, called as `p2vit rtl --hw` calls it.
        changes: Sizes as ``p2vit rtl --set`` takes them.

    Raises:
        AccelError: an unknown size.
        P2vitError: a size that cannot be generated.
    """
    from p2vit.rtl.description import description_of
    from p2vit.rtl.top.machine import MACHINES

    sizes = MACHINES[machine.name]
    unknown = [name for name in changes if name not in sizes.parameters()]
    if unknown:
        raise AccelError(
            f"sizes of {machine.name}",
            [f"{name}: no such size; {suggestion(name, sizes.parameters())}" for name in unknown],
        )
    return description_of(replace(sizes, **changes), machine.name, machine.clock_mhz)


def _with_options(space: Space, budget: tuple[str, ...], objectives: tuple[str, ...]) -> Space:
    """The space with bounds and objectives from the command line."""
    bounds, problems = space.budget.model_dump(exclude_none=True), []
    for item in budget:
        name, _, number = item.partition("=")
        if name not in Budget.model_fields:
            problems.append(
                f"budget {item!r}: no figure is called {name!r}; {suggestion(name, Budget.model_fields)}"
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
        f"objective {name!r}: no such figure; {suggestion(name, Budget.model_fields)}"
        for name in objectives
        if name not in Budget.model_fields
    ]
    if problems:
        raise AccelError("explore", problems)
    changes: dict[str, Any] = {"budget": Budget(**bounds)}
    if objectives:
        changes["objectives"] = objectives
    return space.model_copy(update=changes)
