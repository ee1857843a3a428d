"""The mapping of a workload: how many lines of the array to use.

More lines are not always better: a row group as large as the image leaves nothing to overlap, and its scores
may not fit. So the array may run with a half, a quarter, ... of its lines, and the fastest choice that fits
is taken. A machine with more lines is therefore never slower.
"""

from collections import Counter
from dataclasses import dataclass

from p2vit.accel.closed_form import closed_form
from p2vit.accel.costs import MAC, columns_per_step
from p2vit.accel.dataflow import Schedule, schedule
from p2vit.accel.edit import edit_machine
from p2vit.accel.gemm import row_stationary_cycles
from p2vit.accel.machine import Machine
from p2vit.accel.memory import Misfit
from p2vit.accel.timing import Timing
from p2vit.accel.workload import Workload


@dataclass(frozen=True)
class Mapping:
    """A workload laid out on a machine.

    Attributes:
        plan: The schedule.
        active_lines: Lines of the MAC array that are used.
        timing: Closed-form timing; None where nothing fits.
        misfits: Why it does not fit; empty where it does.
    """

    plan: Schedule
    active_lines: int
    timing: Timing | None
    misfits: tuple[Misfit, ...]


def map_workload(machine: Machine, workload: Workload) -> Mapping:
    """Lay a workload out with the number of lines that makes it fastest.

    Args:
        machine: The machine.
        workload: What to run.

    Returns:
        The fastest mapping; of equally fast ones that with the most lines; where none fits, the one with all
        lines and its misfits.
    """
    lines = machine.chunks.mac_array.lines
    best = _mapped(machine, workload)
    # The lines of a load–store machine share the words of its memory: all of them are used.
    fewer = lines // 2 if machine.organisation != "load_store" else 0
    while fewer:
        # Nothing is faster than its own MACs: that bound spares nearly every further attempt.
        if best.timing and _mac_cycles(machine, best.plan, fewer) >= best.timing.cycles:
            break
        tried = _mapped(edit_machine(machine, {"chunks.mac_array.lines": fewer}), workload)
        if tried.timing and (best.timing is None or tried.timing.cycles < best.timing.cycles):
            best = tried
        fewer //= 2
    return best


def _mapped(machine: Machine, workload: Workload) -> Mapping:
    plan = schedule(machine, workload)
    misfits = tuple(dict.fromkeys(misfit for section in plan.sections for misfit in section.memory.misfits))
    timing = None if misfits else closed_form(machine, plan)
    return Mapping(plan, machine.chunks.mac_array.lines, timing, misfits)


def _mac_cycles(machine: Machine, plan: Schedule, lines: int) -> int:
    """Cycles of the MAC array alone with ``lines`` lines; grows as lines get fewer."""
    lanes = machine.chunks.mac_array.lanes_per_line
    times = Counter(id(section) for section in plan.sections)
    cycles = 0
    for section in {id(section): section for section in plan.sections}.values():
        alone = sum(
            op.instances
            * row_stationary_cycles(
                op.rows, -(-op.cols // columns_per_step(machine, op)), op.inner, lines, lanes
            )
            for op, cost in zip(section.operations, section.costs, strict=True)
            if cost.chunk == MAC and op.inner
        )
        cycles += alone * times[id(section)]
    return cycles
