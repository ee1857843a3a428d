"""``p2vit explore``: search for accelerator designs that suit a model, within budgets."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from p2vit.accel.explore.evaluate import OWN_BITS
from p2vit.accel.explore.point_evaluator import evaluator
from p2vit.accel.explore.search import explore as search
from p2vit.accel.explore.space import Budget, Space, load_space
from p2vit.accel.machine.description import LoadStoreMachine, Machine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload.operations import Workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
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
    """Search for accelerator designs that suit a model.

    Args:
        model: Name of an architecture, or a program's folder. A program keeps its own weight widths, so those of the
            search space do not apply.
        hardware: Accelerator to start from: a name or a YAML file.
        options: Options; the defaults of `ExploreOptions` if None.
        out: Receives progress.
        **changes: Fields of `ExploreOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit explore --json``.

    Raises:
        AccelError: The model, the accelerator or an option is not allowed; the message says what to do.
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
        out.note(f"{model} is a program: its weight widths are kept; only the accelerator is searched")
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
    """Whether `p2vit rtl` can generate this accelerator."""
    if not isinstance(machine, LoadStoreMachine):
        return False
    from p2vit.hdl.description import description_of
    from p2vit.hdl.top.machine import MACHINES

    sizes = MACHINES.get(machine.name)
    return (
        sizes is not None and description_of(sizes, machine.name, machine.clock_mhz).chunks == machine.chunks
    )


def generated_machine(machine: Machine, changes: Mapping[str, Any]) -> Machine:
    """Return the description of a generated accelerator with other sizes.

    Args:
        machine: Description to start from; its name is one of ``p2vit rtl --hw``.
        changes: Sizes as for ``p2vit rtl --set``.

    Raises:
        AccelError: There is no such size.
        P2vitError: An accelerator of these sizes cannot be generated.
    """
    from p2vit.hdl.description import description_of
    from p2vit.hdl.top.machine import MACHINES

    sizes = MACHINES[machine.name]
    unknown = [name for name in changes if name not in sizes.parameters()]
    if unknown:
        raise AccelError(
            f"sizes of {machine.name}",
            [f"{name}: no such size; {suggestion(name, sizes.parameters())}" for name in unknown],
        )
    return description_of(replace(sizes, **changes), machine.name, machine.clock_mhz)


def _with_options(space: Space, budget: tuple[str, ...], objectives: tuple[str, ...]) -> Space:
    """Return the search space with the user's bounds and objectives."""
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
