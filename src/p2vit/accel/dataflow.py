"""The tailored row-stationary dataflow: which tasks of which operations run side by side, and what waits for
what.

A *task* is an even share of one operation (all of it, or one head's) cut into tiles: weight passes × row
groups, pass by pass. Parts of one *phase* are issued interleaved, so that their row groups flow from chunk to
chunk:

- phase 0 of a block: LayerNorm -> q, k, v of head 0
- phase h: q, k, v of head h, interleaved with scores -> softmax -> attention × V of head h − 1
- last attention phase: scores -> softmax -> attention × V of the last head -> output projection -> add
- then LayerNorm -> FC1 -> GELU, then FC2 -> add.

The MAC array thus works on the next head's projections while softmax and shifters finish the last head's
rows. With inter-layer pipelining off, every operation is a phase of its own and waits for all of the one
before.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from p2vit.accel.costs import Cost, Number, cost_of
from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.section import load_store_section
from p2vit.accel.machine import LoadStoreMachine, Machine
from p2vit.accel.memory import HEADS_IN_FLIGHT, BoundaryTraffic, MemoryPlan, pipelined, plan_memory
from p2vit.accel.workload import Operation, Workload

Dependency = Literal["rows", "all"]
# What works on the rows of scores: the mapping gives these their own number of lines.
ON_SCORES = ("scores", "score_bias", "softmax", "attention_values")


@dataclass(frozen=True)
class LineCounts:
    """Lines of the MAC array that a mapping uses; buffers may allow an operation fewer.

    Attributes:
        rows: Of linears and what follows them row by row.
        scores: Of attention from its scores to attention × V.
    """

    rows: Number
    scores: Number

    def of(self, kind: str) -> Number:
        """Lines of an operation of a kind."""
        return self.scores if kind in ON_SCORES else self.rows


# Element by element, they need no whole rows.
PASS_ALIGNED = ("add", "lookup")


@dataclass(frozen=True)
class Task:
    """A share of one operation.

    Attributes:
        index: Position in the section.
        operation: Position of its operation in the section.
        phase: Phase it belongs to.
        share: It is one of this many equal shares of the operation.
        passes: Weight tiles.
        groups: Row groups of one pass.
        needs: (task, "rows" | "all"): rows of a group from the same rows of that task, or all of it.
        aligned: It takes its producer's tiles pass by pass; otherwise it waits for whole rows.
        reuses: Parts that must be done with the buffer space it writes to (q, k, v of the head before last).
        fetched_bytes: DRAM traffic ahead of it, spread over its passes.
        spilled_bytes: DRAM traffic while it runs, spread over its tiles.
    """

    index: int
    operation: int
    phase: int
    share: int
    passes: int
    groups: Number
    needs: tuple[tuple[int, Dependency], ...]
    aligned: bool
    reuses: tuple[int, ...]
    fetched_bytes: float
    spilled_bytes: float

    @property
    def tiles(self) -> Number:
        """Tiles it is cut into."""
        return self.passes * self.groups

    @property
    def dram_bytes(self) -> float:
        """All its DRAM traffic."""
        return self.fetched_bytes + self.spilled_bytes


@dataclass(frozen=True)
class TaskGroup:
    """Parts of one phase that take turns on one chunk.

    Attributes:
        chunk: Where they run.
        level: Parts of the same chunk that they follow inside the phase, one behind the other.
        tasks: Their indices in the section.
    """

    chunk: str
    level: int
    tasks: list[int]


@dataclass(frozen=True)
class Section:
    """A block, the embedding or the head, scheduled.

    Attributes:
        operations: Program order.
        costs: Demands of each operation.
        memory: How it uses memory.
        tasks: In the order of issue of their first tiles; none on a load–store machine.
        phases: Number of phases.
        jobs: Of a load–store machine, in program order.
    """

    operations: tuple[Operation, ...]
    costs: tuple[Cost, ...]
    memory: MemoryPlan
    tasks: tuple[Task, ...]
    phases: int
    jobs: tuple[EngineJob, ...] = ()

    @cached_property
    def task_groups(self) -> list[list[TaskGroup]]:
        """Groups of every phase, in an order in which each comes behind all that it waits for."""
        behind: list[dict[str, int]] = []
        phases: list[dict[tuple[str, int], TaskGroup]] = [{} for _ in range(self.phases)]
        for task in self.tasks:
            ahead: dict[str, int] = defaultdict(int)
            for need, _ in task.needs:
                producer = self.tasks[need]
                if producer.phase == task.phase:
                    own = self.costs[producer.operation].chunk
                    for chunk, level in (*behind[need].items(), (own, behind[need][own] + 1)):
                        ahead[chunk] = max(ahead[chunk], level)
            behind.append(ahead)
            chunk = self.costs[task.operation].chunk
            key = chunk, ahead[chunk]
            phases[task.phase].setdefault(key, TaskGroup(*key, [])).tasks.append(task.index)
        return [list(groups.values()) for groups in phases]

    @cached_property
    def repeats(self) -> list[int]:
        """Of every phase, how many right behind it do the same work with the next heads."""
        signatures = [
            [
                (group.chunk, group.level, [self._signature(index) for index in group.tasks])
                for group in groups
            ]
            for groups in self.task_groups
        ]
        repeats = [0] * self.phases
        for phase in range(self.phases - 2, -1, -1):
            if signatures[phase] == signatures[phase + 1]:
                repeats[phase] = repeats[phase + 1] + 1
        return repeats

    def _signature(self, index: int) -> tuple[object, ...]:
        """What tells a task from others: its operation, and what it waits for relative to itself."""
        task = self.tasks[index]
        # What is not cut into heads is the same for all of them, and further behind with each.
        needs = tuple(
            (need if self.tasks[need].share == 1 else need - index, how) for need, how in task.needs
        )
        return task.operation, task.share, needs, tuple(index - reused for reused in task.reuses)


@dataclass(frozen=True)
class Schedule:
    """Sections in order; equal blocks share one `Section` object.

    Attributes:
        sections: Every section of the workload, repeated as often as it occurs.
        operations: The workload's own operations of each section, since equal blocks share one section's.
    """

    sections: tuple[Section, ...]
    operations: tuple[tuple[Operation, ...], ...]


def schedule(machine: Machine, workload: Workload, lines: LineCounts | None = None) -> Schedule:
    """Cut a workload into sections and lay out their tasks.

    Args:
        machine: The machine.
        workload: What to run.
        lines: Lines to use; default as many as there are and fit.

    Returns:
        The schedule that both timing models execute.
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
                known[key] = _as_jobs(machine, operations, before, first_norm)
        elif key not in known:
            known[key] = lay_out(machine, operations, boundary, lines)
        sections.append(known[key])
    return Schedule(tuple(sections), tuple(pieces))


def _as_jobs(
    machine: Machine, operations: Sequence[Operation], before: Operation | None, first_norm: bool
) -> Section:
    jobs, costs, memory = load_store_section(machine, operations, before, first_norm)
    return Section(tuple(operations), costs, memory, (), len(operations), jobs)


def _shape(op: Operation) -> tuple[object, ...]:
    """All that matters for cost: everything but the name and the block."""
    return (
        op.kind, op.part, op.rows, op.cols, op.inner, op.instances, op.heads,
        op.input_bits, op.weight_bits, op.output_bits, op.log2_codes, op.tables,
    )  # fmt: skip


def split_sections(workload: Workload) -> list[tuple[Operation, ...]]:
    """Runs of operations of the same block, or of the same part of the network outside the blocks."""
    sections: list[list[Operation]] = []
    last: object = None
    for op in workload.operations:
        key = op.block if op.block >= 0 else op.part
        if key != last:
            sections.append([])
        sections[-1].append(op)
        last = key
    return [tuple(section) for section in sections]


def lay_out(
    machine: Machine,
    operations: Sequence[Operation],
    boundary: BoundaryTraffic | None = None,
    lines: LineCounts | None = None,
) -> Section:
    """Parts and phases of one section.

    Args:
        machine: The machine.
        operations: The section's operations.
        boundary: What it reads and writes off the chip whatever fits.
        lines: Lines to use; default as many as there are and fit.
    """
    memory = plan_memory(machine, operations, boundary)
    every = machine.chunks.mac_array.lines
    lines = lines or LineCounts(every, every)
    costs = tuple(
        cost_of(machine, op, passes, at_most(lines.of(op.kind), max(1, limit)))
        for op, passes, limit in zip(operations, memory.passes, memory.lines, strict=True)
    )
    builder = _Builder(tuple(operations), costs, memory)
    if pipelined(machine):
        builder.pipelined()
    else:
        builder.serial()
    return Section(tuple(operations), costs, memory, tuple(builder.tasks), builder.phase + 1)


def at_most(number: Number, limit: int) -> Number:
    """The smaller of the two, element by element."""
    return np.minimum(number, limit) if isinstance(number, np.ndarray) else min(number, limit)


class _Builder:
    """Lays out tasks one after the other."""

    def __init__(
        self, operations: tuple[Operation, ...], costs: tuple[Cost, ...], memory: MemoryPlan
    ) -> None:
        self.operations, self.costs, self.memory = operations, costs, memory
        self.tasks: list[Task] = []
        self.phase = 0

    def add(
        self, op: int, needs: Sequence[tuple[int, Dependency]], share: int = 1, reuses: tuple[int, ...] = ()
    ) -> int:
        """Append a task; an operation that only passes elements on takes over its producer's weight
        passes.
        """
        operation, cost = self.operations[op], self.costs[op]
        passes = self.memory.passes[op]
        if share > 1 and operation.kind == "linear":
            passes = -(-passes // share)
            groups = cost.groups
        else:
            groups = cost.groups // share
        aligned = operation.kind in PASS_ALIGNED and bool(needs) and needs[-1][1] == "rows"
        if aligned:
            passes = self.tasks[needs[-1][0]].passes
        fetched, spilled = self.memory.fetched_bytes[op] / share, self.memory.spilled_bytes[op] / share
        task = Task(
            len(self.tasks),
            op,
            self.phase,
            share,
            passes,
            groups,
            tuple(needs),
            aligned,
            reuses,
            fetched,
            spilled,
        )
        self.tasks.append(task)
        return task.index

    def chain(
        self, ops: Sequence[int], needs: Sequence[tuple[int, Dependency]], how: Dependency, share: int = 1
    ) -> int:
        """Append tasks that each need the one before; returns the last."""
        for op in ops:
            needs = ((self.add(op, needs, share), how),)
        return needs[0][0]

    def serial(self) -> None:
        """One operation at a time; q, k and v all read the LayerNorm, which stands before them anyway."""
        previous: tuple[tuple[int, Dependency], ...] = ()
        for op in range(len(self.operations)):
            self.phase = op
            previous = ((self.add(op, previous), "all"),)

    def pipelined(self) -> None:
        """Phases begin at linears; attention goes head by head."""
        kinds = [op.kind for op in self.operations]
        previous: tuple[tuple[int, Dependency], ...] = ()
        op, seen_linear = 0, False
        while op < len(kinds):
            projections = self._projections_at(op, kinds)
            if projections:
                if seen_linear:
                    self.phase += 1
                op, last = self._attention(op, projections, previous)
                previous, seen_linear = ((last, "rows"),), True
                # The output projection follows the last head's rows inside the same phase.
                if op < len(kinds) and kinds[op] == "linear":
                    previous = ((self.add(op, previous), "rows"),)
                    op += 1
                continue
            # What prepares the next linear (LayerNorm, a move) opens that linear's phase.
            if seen_linear and kinds[op] in ("layernorm", "linear", "pool") and not self._opened(op, kinds):
                self.phase += 1
            seen_linear = seen_linear or kinds[op] == "linear"
            previous = ((self.add(op, previous), "rows"),)
            op += 1

    def _opened(self, op: int, kinds: Sequence[str]) -> bool:
        """Whether the phase of the linear at ``op`` was opened by the operation in front of it."""
        return kinds[op] == "linear" and op > 0 and kinds[op - 1] in ("layernorm", "move", "affine", "pool")

    def _projections_at(self, op: int, kinds: Sequence[str]) -> int:
        """Number of linears from ``op`` on that stand right in front of scores; 0 if there are none."""
        count = 0
        while op + count < len(kinds) and kinds[op + count] == "linear":
            count += 1
        return count if op + count < len(kinds) and kinds[op + count] == "scores" else 0

    def _attention(
        self, op: int, count: int, previous: tuple[tuple[int, Dependency], ...]
    ) -> tuple[int, int]:
        """Lay out attention head by head; returns the next operation and the last attention × V task."""
        kinds = [operation.kind for operation in self.operations]
        scores = op + count
        values = kinds.index("attention_values", scores)
        heads = self.operations[scores].heads
        made: list[list[int]] = []
        attended: list[int] = []
        before = previous
        for head in range(heads + 1):
            if head:
                self.phase += 1
            if head < heads:
                reuses = tuple(attended[head - HEADS_IN_FLIGHT : head - HEADS_IN_FLIGHT + 1])
                made.append([self.add(op + i, before, heads, reuses) for i in range(count)])
            if head:
                # Scores need every row of k, attention × V every row of v, of the head made one phase
                # earlier.
                core_needs: list[tuple[int, Dependency]] = [(task, "all") for task in made[head - 1]]
                attended.append(self.chain(range(scores, values + 1), core_needs, "rows", heads))
        return values + 1, attended[-1]
