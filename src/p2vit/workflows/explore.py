"""``p2vit explore``: better machines for a model, within budgets."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from p2vit.accel.edit import edit_machine
from p2vit.accel.engines import evaluator
from p2vit.accel.explore import explore as search
from p2vit.accel.machine import LoadStoreMachine, Machine
from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.resolve import workload_of
from p2vit.accel.space import Budget, Space, load_space
from p2vit.accel.workload import Workload
from p2vit.accel.workload_vit import Precision


def run_explore(
    model: str,
    hardware: str,
    *,
    space: str | None = None,
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
        space: Shipped search space or a YAML file; default ``chunks``, or ``rtl`` for a machine that can be generated.
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
    build = generated_machine if _can_be_generated(machine) else edit_machine
    space = space or ("rtl" if build is generated_machine else "chunks")
    chosen = _with_options(load_space(space), budget, objectives)
    chosen.check(machine, space, build)
    if Path(model).is_dir():  # a program has the bits that it was quantized to
        workload = workload_of(model)
        widest = max(op.weight_bits for op in workload.operations)
        chosen = chosen.model_copy(update={"weight_bits": (4 if 0 < widest <= 4 else 8,)})
        workloads: dict[int, Workload] = {chosen.weight_bits[0]: workload}
    else:
        workloads = {bits: workload_of(model, Precision(bits)) for bits in sorted(set(chosen.weight_bits))}
    with evaluator(
        machine, workloads, engine=engine, workers=workers, address=address, build=build
    ) as evaluate:
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
