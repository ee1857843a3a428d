"""The row-stationary dataflow: which tasks run side by side, and what each of them waits for.

A *task* is an equal share of one operation: all of it, or the part of one head. It is cut into tiles, one for each
pair of weight pass and row group, in the order of the passes. The tasks of one *phase* are issued interleaved, so that
their row groups flow from chunk to chunk:

- phase 0 of a block: LayerNorm -> q, k, v of head 0
- phase h: q, k, v of head h, interleaved with scores -> softmax -> attention × V of head h − 1
- last attention phase: scores -> softmax -> attention × V of the last head -> output projection -> add
- then LayerNorm -> FC1 -> GELU, then FC2 -> add.

So the MAC array works on the projections of the next head while softmax and shifters finish the rows of the previous
head. Without inter-layer pipelining, every operation is a phase of its own and waits for the whole previous operation.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from p2vit.accel.chunks.costs import Cost, Number, cost_of
from p2vit.accel.chunks.memory import (
    HEADS_IN_FLIGHT,
    PROJECTING,
    BoundaryTraffic,
    MemoryPlan,
    pipelined,
    plan_memory,
)
from p2vit.accel.chunks.sections import Section
from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Operation

Dependency = Literal["rows", "all"]
# Operations on rows of scores; the mapping chooses their number of lines separately.
ON_SCORES = ("scores", "score_bias", "softmax", "attention_values")


@dataclass(frozen=True)
class LineCounts:
    """Lines of the MAC array that a mapping uses. A buffer may limit an operation to fewer.

    Attributes:
        rows: Lines for linear layers and for operations that follow them row by row.
        scores: Lines for attention, from the scores to attention × V.
    """

    rows: Number
    scores: Number

    def of(self, kind: str) -> Number:
        """Return the lines for operations of a kind."""
        return self.scores if kind in ON_SCORES else self.rows


# Elementwise operations: they need no whole rows, so they can follow their producer pass by pass.
PASS_ALIGNED = ("add", "lookup")


@dataclass(frozen=True)
class Task:
    """An equal share of one operation: all of it, or the part of one head.

    Attributes:
        index: Position in the section.
        operation: Position of the operation in the section.
        phase: Phase that the task is issued in.
        share: Number of equal shares that the operation is divided into.
        passes: Number of weight tiles.
        groups: Row groups of one pass.
        needs: Producers: (task index, "rows" to wait for the same rows, "all" to wait for the whole task).
        aligned: True if the task follows its producer's tiles pass by pass; False if it waits for whole rows.
        reuses: Tasks that must finish before this one may write to their buffer space (q, k, v of the head before
            last).
        fetched_bytes: DRAM bytes that can be prefetched, spread over the passes.
        spilled_bytes: DRAM bytes that move while the task runs, spread over its tiles.
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
        """Number of tiles."""
        return self.passes * self.groups

    @property
    def dram_bytes(self) -> float:
        """DRAM traffic in bytes."""
        return self.fetched_bytes + self.spilled_bytes


@dataclass(frozen=True)
class TaskGroup:
    """Tasks of one phase that are interleaved on one chunk.

    Attributes:
        chunk: Chunk that runs the tasks.
        level: Length of the chain of tasks on the same chunk that these tasks follow inside the phase.
        tasks: Indices of the tasks in the section.
    """

    chunk: str
    level: int
    tasks: list[int]


@dataclass(frozen=True)
class TaskSection(Section):
    """Schedule of a section on a machine of chunks.

    Attributes:
        tasks: Tasks in the order in which their first tiles are issued.
        phases: Number of phases.
    """

    tasks: tuple[Task, ...]
    phases: int

    @cached_property
    def task_groups(self) -> list[list[TaskGroup]]:
        """Task groups of every phase; each group comes after the groups that it waits for."""
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
        """For every phase, the number of phases directly after it that do the same work for the next heads."""
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
        """Return what makes two tasks equal: operation, share, and dependencies relative to the task."""
        task = self.tasks[index]
        # All heads depend on the same undivided task, so its index is not made relative.
        needs = tuple(
            (need if self.tasks[need].share == 1 else need - index, how) for need, how in task.needs
        )
        return task.operation, task.share, needs, tuple(index - reused for reused in task.reuses)


def lay_out(
    machine: Machine,
    operations: Sequence[Operation],
    boundary: BoundaryTraffic | None = None,
    lines: LineCounts | None = None,
) -> TaskSection:
    """Lay out the tasks and phases of one section.

    Args:
        machine: Machine that runs the section.
        operations: Operations of the section in program order.
        boundary: DRAM traffic at the ends of the model; None if the section has none.
        lines: Lines to use; None uses as many as the array has and the buffers allow.
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
    return TaskSection(tuple(operations), costs, memory, tuple(builder.tasks), builder.phase + 1)


def at_most(number: Number, limit: int) -> Number:
    """Return the smaller of the two numbers, for each element."""
    return np.minimum(number, limit) if isinstance(number, np.ndarray) else min(number, limit)


class _Builder:
    """Lays out the tasks of one section, one after the other."""

    def __init__(
        self, operations: tuple[Operation, ...], costs: tuple[Cost, ...], memory: MemoryPlan
    ) -> None:
        self.operations, self.costs, self.memory = operations, costs, memory
        self.tasks: list[Task] = []
        self.phase = 0

    def add(
        self, op: int, needs: Sequence[tuple[int, Dependency]], share: int = 1, reuses: tuple[int, ...] = ()
    ) -> int:
        """Append a task and return its index. An aligned operation takes over the weight passes of its producer."""
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
        """Append tasks that each need the previous one; return the index of the last."""
        for op in ops:
            needs = ((self.add(op, needs, share), how),)
        return needs[0][0]

    def serial(self) -> None:
        """Lay out one operation per phase, each waiting for the whole previous operation."""
        previous: tuple[tuple[int, Dependency], ...] = ()
        for op in range(len(self.operations)):
            self.phase = op
            previous = ((self.add(op, previous), "all"),)

    def pipelined(self) -> None:
        """Lay out overlapping phases: a phase begins at a linear layer, and attention proceeds head by head."""
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
            # An operation that prepares the next linear layer (LayerNorm, a move) begins the phase of that layer.
            if seen_linear and kinds[op] in ("layernorm", "linear", "pool") and not self._opened(op, kinds):
                self.phase += 1
            seen_linear = seen_linear or kinds[op] == "linear"
            previous = ((self.add(op, previous), "rows"),)
            op += 1

    def _opened(self, op: int, kinds: Sequence[str]) -> bool:
        """Return whether the operation before the linear layer at ``op`` has already begun its phase."""
        return kinds[op] == "linear" and op > 0 and kinds[op - 1] in ("layernorm", "move", "affine", "pool")

    def _projections_at(self, op: int, kinds: Sequence[str]) -> int:
        """Count the projections from ``op`` on, with rotary positions, directly before scores; 0 without scores."""
        count = 0
        while op + count < len(kinds) and kinds[op + count] in PROJECTING:
            count += 1
        return count if op + count < len(kinds) and kinds[op + count] == "scores" else 0

    def _attention(
        self, op: int, count: int, previous: tuple[tuple[int, Dependency], ...]
    ) -> tuple[int, int]:
        """Lay out attention head by head; return the next operation and the last attention × V task."""
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
                needs: tuple[tuple[int, Dependency], ...]
                reuses = tuple(attended[head - HEADS_IN_FLIGHT : head - HEADS_IN_FLIGHT + 1])
                tasks: list[int] = []
                for i in range(count):
                    # Rotary positions follow their own projection row by row.
                    turned = kinds[op + i] == "rotary"
                    needs = ((tasks[-1], "rows"),) if turned else before
                    tasks.append(self.add(op + i, needs, heads, reuses))
                made.append(tasks)
            if head:
                # Scores need all rows of k, and attention × V all rows of v, of the head projected one phase earlier.
                core_needs: list[tuple[int, Dependency]] = [(task, "all") for task in made[head - 1]]
                attended.append(self.chain(range(scores, values + 1), core_needs, "rows", heads))
        return values + 1, attended[-1]
