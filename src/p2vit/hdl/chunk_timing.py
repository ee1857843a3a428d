"""Exact timing of a compiled program as the record of the accelerator model, for the same reports and traces."""

from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.load_store.events import timing_of
from p2vit.accel.timing import Timing
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.description import description_of
from p2vit.hdl.timing import timed_jobs


def chunk_timing(compiled: CompiledProgram, plan: Schedule) -> Timing:
    """Compute the cycles of a compiled program, attributed to the operations of a schedule of that program.

    Args:
        compiled: Program, compiled for an RTL machine.
        plan: Schedule of the same program; its operations have the names and the order of the nodes.

    Returns:
        Timing with a tile for every run of an engine. Busy and stalled cycles of each chunk add up to the run.
    """
    names = [op.name for operations in plan.operations for op in operations]
    assert names == [node.name for node in compiled.program.nodes], "a schedule of another program"
    machine = description_of(compiled.machine, compiled.machine.name)
    return timing_of(machine, plan, timed_jobs(compiled))
