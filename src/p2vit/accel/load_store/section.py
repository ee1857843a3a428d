"""Dataflow of a load–store machine: the jobs of every operation, in program order.

The input rows of a linear layer are stationary, for one tile of output columns after the other. The values of
attention are computed with exchanged operands: the weights are stationary and the tokens are the columns. So the
values come out channel by channel, as attention × V needs them. LayerNorm, softmax, tables and adds process one row
group at a time. `order` determines the order in which the engines take the jobs. The generated accelerator works in
the same way (docs/reference/rtl-top.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from p2vit.accel.chunks.costs import cost_of
from p2vit.accel.chunks.memory import MemoryPlan
from p2vit.accel.chunks.sections import Section
from p2vit.accel.load_store.array import ArrayJobs
from p2vit.accel.load_store.fit import buffer_bytes, misfits_of
from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.section_layout import SectionLayout
from p2vit.accel.load_store.steps import Form, Step, steps_of
from p2vit.accel.load_store.vector import VectorJobs
from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Operation


@dataclass(frozen=True)
class JobSection(Section):
    """Schedule of a section on a load–store machine.

    Attributes:
        jobs: Jobs of the engines in program order.
    """

    jobs: tuple[EngineJob, ...]


def load_store_section(
    machine: Machine, operations: Sequence[Operation], before: Operation | None, first_norm: bool
) -> JobSection:
    """Schedule one section.

    Args:
        machine: Load–store machine.
        operations: Operations of the section.
        before: Operation that the section's first operation reads; None at the start.
        first_norm: Whether no LayerNorm comes before the section. The first LayerNorm loads the root table.

    Returns:
        Section. If it does not fit, there are no jobs, and the memory plan gives the reasons.
    """
    options = machine.load_store
    assert options is not None
    misfits = misfits_of(machine, options, operations)
    costs = [cost_of(machine, op) for op in operations]
    if misfits:
        none = (0,) * len(operations)
        memory = MemoryPlan((1,) * len(operations), none, none, none, 0, misfits)
        return JobSection(tuple(operations), tuple(costs), memory, ())
    layout = lay_out_jobs(
        machine, steps_of(operations, before), options.norm_table_words if first_norm else 0
    )
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
        buffer_bytes(machine.chunks.mac_array.lines, options),
    )
    return JobSection(tuple(operations), own, memory, tuple(layout.jobs))


def lay_out_jobs(machine: Machine, steps: Sequence[Step], norm_table: int) -> SectionLayout:
    """Make the jobs of some steps, in program order. The compiler of the generated accelerator calls this as well.

    Args:
        machine: Load–store machine.
        steps: Steps that fit the machine.
        norm_table: Words of the root table that the first LayerNorm loads; 0 if it is already loaded.

    Returns:
        Layout with the jobs.
    """
    options = machine.load_store
    assert options is not None
    layout = SectionLayout(machine, options, steps)
    array, vector = ArrayJobs(layout), VectorJobs(layout, norm_table)
    make: dict[Form, Callable[[int, Step], None]] = {
        "gather": vector.gather,
        "linear": array.linear,
        "values": array.values,
        "scores": array.scores,
        "attention": array.attention,
        "softmax": vector.softmax,
        "rows": vector.streamed,
        "sum": vector.sum_tokens,
    }
    for index, step in enumerate(steps):
        make[step.form](index, step)
    return layout
