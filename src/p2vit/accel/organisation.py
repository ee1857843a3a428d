"""What depends on the organisation of a machine: its schedule, and the two models of its time."""

from p2vit.accel.chunks.closed_form import closed_form_of_tasks
from p2vit.accel.chunks.dataflow import LineCounts, lay_out
from p2vit.accel.chunks.events import simulate_tasks
from p2vit.accel.chunks.memory import BoundaryTraffic
from p2vit.accel.chunks.sections import Schedule, Section, shape_of, split_sections
from p2vit.accel.load_store.closed_form import closed_form_of_jobs
from p2vit.accel.load_store.events import simulate_jobs
from p2vit.accel.load_store.section import schedule_jobs
from p2vit.accel.machine.description import LoadStoreMachine, Machine
from p2vit.accel.timing import Timing
from p2vit.accel.workload.operations import Workload


def schedule(machine: Machine, workload: Workload, lines: LineCounts | None = None) -> Schedule:
    """Divide a workload into sections and schedule each.

    Args:
        machine: Machine that runs the workload.
        workload: Operations to run.
        lines: Lines to use; None uses as many as the array has and the buffers allow. A load–store machine uses all.

    Returns:
        Schedule that the timing models execute.
    """
    pieces = split_sections(workload.operations)
    if isinstance(machine, LoadStoreMachine):
        return schedule_jobs(machine, pieces)
    known: dict[tuple[object, ...], Section] = {}
    sections = []
    for index, operations in enumerate(pieces):
        first, last = index == 0, index == len(pieces) - 1
        boundary = BoundaryTraffic(
            workload.input_bytes if first else 0,
            workload.constant_bytes if first else 0,
            operations[-1].output_bytes if last else 0,
        )
        key = (boundary, *map(shape_of, operations))
        if key not in known:
            known[key] = lay_out(machine, operations, boundary, lines)
        sections.append(known[key])
    return Schedule(tuple(sections), tuple(pieces))


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
