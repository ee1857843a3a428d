"""What depends on the organisation of a machine: its schedule, and the two models of its time."""

from p2vit.accel.chunks.closed_form import closed_form_of_tasks
from p2vit.accel.chunks.dataflow import LineCounts, lay_out
from p2vit.accel.chunks.events import simulate_tasks
from p2vit.accel.chunks.memory import BoundaryTraffic
from p2vit.accel.chunks.sections import Schedule, Section, split_sections
from p2vit.accel.load_store.closed_form import closed_form_of_jobs
from p2vit.accel.load_store.events import simulate_jobs
from p2vit.accel.load_store.section import load_store_section
from p2vit.accel.machine.description import LoadStoreMachine, Machine
from p2vit.accel.timing import Timing
from p2vit.accel.workload.operations import Operation, Workload


def schedule(machine: Machine, workload: Workload, lines: LineCounts | None = None) -> Schedule:
    """Divide a workload into sections and schedule each.

    Args:
        machine: Machine that runs the workload.
        workload: Operations to run.
        lines: Lines to use; None uses as many as the array has and the buffers allow. A load–store machine uses all.

    Returns:
        Schedule that the timing models execute.
    """
    known: dict[tuple[object, ...], Section] = {}
    sections = []
    pieces = split_sections(workload)
    for index, operations in enumerate(pieces):
        first, last = index == 0, index == len(pieces) - 1
        boundary = BoundaryTraffic(
            workload.input_bytes if first else 0,
            workload.constant_bytes if first else 0,
            operations[-1].output_bytes if last else 0,
        )
        key: tuple[object, ...] = (boundary, *(_shape(op) for op in operations))
        if isinstance(machine, LoadStoreMachine):
            before = None if first else pieces[index - 1][-1]
            first_norm = all(op.kind != "layernorm" for piece in pieces[:index] for op in piece)
            key = (*key, before and (before.rows, before.cols), first_norm)
            if key not in known:
                known[key] = load_store_section(machine, operations, before, first_norm)
        elif key not in known:
            known[key] = lay_out(machine, operations, boundary, lines)
        sections.append(known[key])
    return Schedule(tuple(sections), tuple(pieces))


def _shape(op: Operation) -> tuple[object, ...]:
    """Return all fields that the cost depends on: everything except the name and the block."""
    return (
        op.kind, op.part, op.rows, op.cols, op.inner, op.instances, op.heads,
        op.input_bits, op.weight_bits, op.output_bits, op.log2_codes, op.tables,
    )  # fmt: skip


def closed_form(machine: Machine, plan: Schedule) -> Timing:
    """Compute the cycles of a schedule in closed form.

    Args:
        machine: Machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with every phase, without tiles.
    """
    if isinstance(machine, LoadStoreMachine):
        return closed_form_of_jobs(machine, plan)
    return closed_form_of_tasks(machine, plan)


def simulate_events(machine: Machine, plan: Schedule) -> Timing:
    """Simulate a schedule, event by event.

    Args:
        machine: Machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with every tile. Every stall has a reason, and busy and stalled cycles of each chunk add up to the run.

    Raises:
        RuntimeError: The schedule deadlocks. This is a defect of the dataflow, never of the input.
    """
    if isinstance(machine, LoadStoreMachine):
        return simulate_jobs(machine, plan)
    return simulate_tasks(machine, plan)
