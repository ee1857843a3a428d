"""Dataflow of a load–store machine: the jobs of every operation, in program order.

The input rows of a linear layer are stationary, for one tile of output columns after the other. The values of
attention are computed with exchanged operands: the weights are stationary and the tokens are the columns. So the
values come out channel by channel, as attention × V needs them. LayerNorm, softmax, tables and adds process one row
group at a time. `order` determines the order in which the engines take the jobs. The generated accelerator works in
the same way (docs/reference/rtl-top.md).
"""

from collections.abc import Sequence
from dataclasses import replace

from p2vit.accel.chunks.costs import Cost, cost_of
from p2vit.accel.chunks.memory import MemoryPlan
from p2vit.accel.load_store.array import ArrayJobs
from p2vit.accel.load_store.fit import buffer_bytes, misfits_of
from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.section_layout import SectionLayout
from p2vit.accel.load_store.vector import VectorJobs
from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Operation


def load_store_section(
    machine: Machine, operations: Sequence[Operation], before: Operation | None, first_norm: bool
) -> tuple[tuple[EngineJob, ...], tuple[Cost, ...], MemoryPlan]:
    """Make the jobs, costs and memory plan of one section.

    Args:
        machine: Load–store machine.
        operations: Operations of the section.
        before: Operation that the section's first operation reads; None at the start.
        first_norm: Whether no LayerNorm comes before the section. The first LayerNorm loads the root table.

    Returns:
        Jobs in program order, costs, and memory plan. If the section does not fit, there are no jobs, and the plan
        gives the reasons.
    """
    options = machine.load_store
    assert options is not None
    misfits = misfits_of(machine, options, operations)
    costs = [cost_of(machine, op) for op in operations]
    if misfits:
        none = (0,) * len(operations)
        return (), tuple(costs), MemoryPlan((1,) * len(operations), none, none, none, 0, misfits)
    layout = SectionLayout(machine, options, operations, before)
    array = ArrayJobs(layout)
    vector = VectorJobs(layout, options.norm_table_words if first_norm else 0)
    for index in range(len(operations)):
        _emit(layout, array, vector, index)
    word = machine.chunks.mac_array.lines
    fetched, spilled = [0] * len(operations), [0] * len(operations)
    work, slowed = [0] * len(operations), [0] * len(operations)
    for job in layout.jobs:
        for load in job.loads:
            (spilled if load.reads else fetched)[job.operation] += load.words * word
        spilled[job.operation] += job.store_words * word
        work[job.operation] += job.work
        slowed[job.operation] += sum(cycles for _, cycles in job.slowed)
    own = tuple(
        replace(cost, busy_cycles=busy, starved_cycles=slow, exposed_requant_cycles=0)
        for cost, busy, slow in zip(costs, work, slowed, strict=True)
    )
    memory = MemoryPlan(
        tuple(layout.passes),
        tuple(fetched),
        tuple(spilled),
        (machine.chunks.mac_array.lines,) * len(operations),
        buffer_bytes(machine, options),
    )
    return tuple(layout.jobs), own, memory


def _emit(layout: SectionLayout, array: ArrayJobs, vector: VectorJobs, index: int) -> None:
    """Make the jobs of one operation."""
    op = layout.operations[index]
    match op.kind:
        case "linear" if layout.projection(index) == "v":
            array.values(index)
        case "linear":
            array.linear(index)
        case "scores":
            array.scores(index)
        case "attention_values":
            array.attention(index)
        case "softmax":
            vector.softmax(index)
        case "pool":
            vector.sum_tokens(index)
        case "move" if op.rows == 1:
            vector.sum_tokens(index)
        case "move":
            vector.gather(index)
        case _:
            vector.streamed(index)
