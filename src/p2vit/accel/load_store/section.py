"""Dataflow of a load–store machine: the jobs of every operation, in program order.

The input rows of a linear layer are stationary, for one tile of output columns after the other. The values of
attention are computed with exchanged operands: the weights are stationary and the tokens are the columns. So the
values come out channel by channel, as attention × V needs them. LayerNorm, softmax, tables and adds process one row
group at a time. `tiles` chooses the tiles, and `order` determines the order in which the engines take the jobs. The
generated accelerator works in the same way (docs/reference/rtl-top.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from p2vit.accel.chunks.costs import cost_of
from p2vit.accel.chunks.memory import MemoryPlan, Misfit
from p2vit.accel.chunks.sections import Schedule, Section, shape_of, split_sections
from p2vit.accel.load_store.fit import buffer_bytes, misfits_of
from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.phases import PhaseShape
from p2vit.accel.load_store.section_jobs import SectionJobs
from p2vit.accel.load_store.steps import Step, steps_of
from p2vit.accel.load_store.tiles import choose_tiles
from p2vit.accel.load_store.totals import Totals
from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Operation


@dataclass(frozen=True)
class JobSection(Section):
    """Schedule of a section on a load–store machine.

    Attributes:
        source: Maker of the jobs; None if the section does not fit.
        tiles: Columns per tile of each operation.
    """

    source: SectionJobs | None = None
    tiles: tuple[int, ...] = ()

    @cached_property
    def jobs(self) -> tuple[EngineJob, ...]:
        """Jobs of the engines in program order."""
        if self.source is None:
            return ()
        return tuple(
            job for index, tile in enumerate(self.tiles) for job in self.source.loop(index, tile).jobs()
        )

    @property
    def shapes(self) -> list[PhaseShape]:
        """Phases of the section."""
        assert self.source is not None
        return self.source.shapes

    def totals(self, index: int) -> Totals:
        """Return the sums over the jobs of an operation."""
        assert self.source is not None
        return self.source.totals(index, self.tiles[index])


def schedule_jobs(machine: Machine, pieces: Sequence[tuple[Operation, ...]]) -> Schedule[JobSection]:
    """Schedule a workload.

    Args:
        machine: Load–store machine.
        pieces: Operations of each section.

    Returns:
        Schedule; equal sections share one object. If a section does not fit, no section has jobs, and the memory plans
        give the reasons.
    """
    options = machine.load_store
    assert options is not None
    known: dict[tuple[object, ...], int] = {}
    kinds: list[tuple[tuple[Operation, ...], Operation | None, bool]] = []
    places = []
    before: Operation | None = None
    normed = False
    for operations in pieces:
        key = (*map(shape_of, operations), before and (before.rows, before.cols), normed)
        if key not in known:
            known[key] = len(kinds)
            kinds.append((operations, before, normed))
        places.append(known[key])
        before, normed = operations[-1], normed or any(op.kind == "layernorm" for op in operations)
    misfits = [misfits_of(machine, options, operations) for operations, *_ in kinds]
    if any(misfits):
        unfit = [_unfit(machine, own, why) for (own, *_), why in zip(kinds, misfits, strict=True)]
        return Schedule(tuple(unfit[place] for place in places), tuple(pieces))
    jobs = [
        SectionJobs(machine, steps_of(own, earlier), 0 if late else options.norm_table_words)
        for own, earlier, late in kinds
    ]
    tiles = choose_tiles(machine, [jobs[place] for place in places])
    made: dict[tuple[int, tuple[int, ...]], JobSection] = {}
    for place, own_tiles in zip(places, tiles, strict=True):
        if (place, own_tiles) not in made:
            made[place, own_tiles] = _section(machine, jobs[place], own_tiles)
    return Schedule(tuple(made[key] for key in zip(places, tiles, strict=True)), tuple(pieces))


def _unfit(machine: Machine, operations: Sequence[Operation], misfits: tuple[Misfit, ...]) -> JobSection:
    none = (0,) * len(operations)
    memory = MemoryPlan((1,) * len(operations), none, none, none, 0, misfits)
    return JobSection(tuple(operations), tuple(cost_of(machine, op) for op in operations), memory)


def _section(machine: Machine, jobs: SectionJobs, tiles: tuple[int, ...]) -> JobSection:
    """Make a section with its costs and its use of the memories."""
    options = machine.load_store
    assert options is not None
    operations = tuple(step.operation for step in jobs.steps)
    totals = [jobs.totals(index, tile) for index, tile in enumerate(tiles)]
    lines = machine.chunks.mac_array.lines
    costs = tuple(
        replace(
            cost_of(machine, op),
            busy_cycles=own.work,
            starved_cycles=sum(own.slowed.values()),
            exposed_requant_cycles=0,
        )
        for op, own in zip(operations, totals, strict=True)
    )
    memory = MemoryPlan(
        tuple(jobs.loop(index, tile).passes for index, tile in enumerate(tiles)),
        tuple(own.fetched_words * lines for own in totals),
        tuple(own.spilled_words * lines for own in totals),
        (lines,) * len(operations),
        buffer_bytes(lines, options),
    )
    return JobSection(operations, costs, memory, jobs, tiles)


def lay_out_jobs(machine: Machine, steps: Sequence[Step], norm_table: int) -> list[EngineJob]:
    """Make the jobs of a whole program, in program order, for the compiler of the generated accelerator.

    Args:
        machine: Load–store machine.
        steps: Steps of the program, which fit the machine.
        norm_table: Words of the root table that the first LayerNorm loads.

    Returns:
        Jobs, with the tiles that `schedule_jobs` chooses for the same operations.
    """
    equal: dict[tuple[object, ...], SectionJobs] = {}
    sections = []
    for start, own in _sections_of(steps):
        normed = any(step.operation.kind == "layernorm" for step in steps[:start])
        key = (*(replace(step, operation=_nameless(step.operation)) for step in own), normed)
        if key not in equal:
            equal[key] = SectionJobs(machine, own, 0 if normed else norm_table)
        sections.append(equal[key])
    tiles = [tile for own_tiles in choose_tiles(machine, sections) for tile in own_tiles]
    whole = SectionJobs(machine, steps, norm_table)
    return [job for index, tile in enumerate(tiles) for job in whole.loop(index, tile).jobs()]


def _nameless(op: Operation) -> Operation:
    return replace(op, name="", block=0)


def _sections_of(steps: Sequence[Step]) -> list[tuple[int, tuple[Step, ...]]]:
    """Divide the steps of a program into sections: the position of the first step, and steps that count from there."""
    sections = []
    start = 0
    for operations in split_sections([step.operation for step in steps]):
        own = steps[start : start + len(operations)]
        moved = (replace(step, reads=tuple(max(-1, source - start) for source in step.reads)) for step in own)
        sections.append((start, tuple(moved)))
        start += len(operations)
    return sections
