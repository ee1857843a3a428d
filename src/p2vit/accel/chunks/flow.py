"""Closed-form timing of rows that flow from chunk to chunk: when each task of a section begins and ends.

Every rule is a maximum of sums. A task begins when its chunk is free and its first rows are available. It ends no
earlier than its own work, the last rows that it waits for, the re-quantization lanes, the activation buffer and DRAM
allow. Work of one phase may continue while the MAC array is in the next phase. No term grows when a chunk, a port or a
buffer grows. So of two machines with the same mapping, the larger one is never slower.

The same code times one mapping (plain numbers, with reasons) or many mappings at once (arrays, one element per
mapping).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

import numpy as np

from p2vit.accel.chunks.costs import ACTIVATION_BUFFER, CHUNKS, DRAM, MAC, REQUANT, SOFTMAX, Number
from p2vit.accel.chunks.dataflow import Task, TaskGroup, TaskSection
from p2vit.accel.machine.description import Machine

#: Two states that differ by fewer cycles than this count as equal.
SAME = 1e-6
SPACE = f"{ACTIVATION_BUFFER}: space of the head before last still in use"
#: A cycle, and the reason of the wait that ends then.
Moment = tuple[Number, str]


@dataclass(frozen=True)
class PhaseRecord:
    """Timing of the MAC array in one phase, for a single mapping.

    Attributes:
        phase: Position in the section.
        cycles: Cycles from the end of the array's previous phase to the end of this phase.
        waited: Cycles of these before the first tile could begin.
        waited_for: Reason of that wait.
        limited_by: Resource that determines the end of the phase.
    """

    phase: int
    cycles: float
    waited: float
    waited_for: str
    limited_by: str


@dataclass(frozen=True)
class _TaskFigures:
    """Figures of one task that do not depend on the cycle at which it runs.

    Attributes:
        task: The task.
        chunk: Chunk that runs the task.
        depth: Cycles from the end of a tile until another task may read it.
        work: Cycles that the task occupies its chunk.
        tile: Cycles that one tile occupies the chunk.
        last_rows: Cycles of work that remain when the last input rows arrive.
        late: Share of the task's time that passes before the first tile of its last weight pass.
        served: Cycles of the re-quantization lanes and of the activation buffer.
        load: DRAM cycles that can be prefetched.
        spilled: DRAM cycles while the task runs.
        softmax: For scores only: cycles until the softmax begins, and cycles that a slow softmax delays them.
    """

    task: Task
    chunk: str
    depth: int
    work: Number
    tile: Number
    last_rows: Number
    late: float
    served: tuple[tuple[str, Number], ...]
    load: float
    spilled: float
    softmax: tuple[Number, Number] | None = None

    @cached_property
    def rows_missing(self) -> str:
        """Stall reason of tasks that wait for this task's rows."""
        return f"{self.chunk}: rows not there yet"

    @cached_property
    def slower(self) -> str:
        """Stall reason of tasks that end late because of this task."""
        return self.chunk if self.chunk == MAC else f"{self.chunk}: slower than the array"


@dataclass
class _TaskTimes:
    """Cycles at which the tasks of the current section begin, deliver their first rows, and end, by task index."""

    begins: dict[int, Number] = field(default_factory=dict)
    first: dict[int, Number] = field(default_factory=dict)
    ends: dict[int, Number] = field(default_factory=dict)


class Flow:
    """State of chunks, ports and DRAM, which advances section by section.

    Args:
        machine: Machine that runs the sections.
        many: Number of mappings that are timed at once (costs are arrays); 0 for a single mapping.
    """

    def __init__(self, machine: Machine, *, many: int = 0) -> None:
        self.machine, self.many = machine, many
        start: Number = float(machine.dram_latency_cycles)
        if many:
            start = np.full(many, start)
        self.free: dict[str, Number] = dict.fromkeys(CHUNKS, start)
        self.served: dict[str, Number] = {REQUANT: start, ACTIVATION_BUFFER: start, DRAM: start}
        # Cycles at which the first rows and all rows of the previous section are available.
        self.first_before, self.all_before = start, start
        self.started = False
        self.known: dict[int, tuple[TaskSection, list[_TaskFigures]]] = {}
        self.rate = machine.dram_bytes_per_cycle
        # Prefetch distance: half of the weight buffer is filled while the other half is read.
        self.ahead = machine.buffers.weight.size_bytes / 2 / self.rate

    def state(self) -> np.ndarray:
        """Return all moments of the state, relative to the end of the MAC array's work."""
        return self._from_array(
            [*self.free.values(), *self.served.values(), self.first_before, self.all_before]
        )

    def _from_array(self, moments: Sequence[Number]) -> np.ndarray:
        """Make moments relative to the end of the MAC array's work; one row per moment."""
        end = self.free[MAC]
        if not self.many:
            return np.array(moments) - end
        return np.array([np.broadcast_to(moment, end.shape) for moment in moments]) - end

    def move_on(self, cycles: Number) -> None:
        """Move the whole state ``cycles`` cycles later."""
        self._shift(cycles)
        self.first_before, self.all_before = self.first_before + cycles, self.all_before + cycles

    def _shift(self, cycles: Number) -> None:
        for moments in (self.free, self.served):
            for name in moments:
                moments[name] = moments[name] + cycles

    def end(self) -> Number:
        """Return the cycle at which all work is done."""
        return self._latest([*self.free.values(), self.all_before])

    def _latest(self, moments: Iterable[Number]) -> Number:
        return reduce(np.maximum, moments) if self.many else max(moments)

    def _last(self, moments: Sequence[Moment]) -> Moment:
        """Return the latest moment, with its reason for a single mapping."""
        if self.many:
            return reduce(np.maximum, [moment for moment, _ in moments]), ""
        return max(moments, key=lambda moment: moment[0])

    def section(self, section: TaskSection) -> list[PhaseRecord]:
        """Time one section and advance the state.

        Args:
            section: TaskSection that was laid out for this machine.

        Returns:
            Phases on the MAC array; empty if many mappings are timed at once.
        """
        times, records = _TaskTimes(), []
        groups, like, figures = section.task_groups, section.repeats, self._figures_of(section)
        phase = 0
        while phase < section.phases:
            before = self._standing(groups[phase - 1], times) if phase and like[phase - 1] else None
            end = self.free[MAC]
            records += self._phase(phase, groups[phase], figures, times)
            took = self.free[MAC] - end
            alike = like[phase]
            if alike and before is not None:
                after = self._standing(groups[phase], times)
                if np.abs(after - before).max() < SAME:
                    self._skip(groups[phase : phase + alike + 1], took, times)
                    records += [replace(record, phase=record.phase + ahead)
                                for ahead in range(1, alike + 1) for record in records[-1:]]  # fmt: skip
                    phase += alike
            phase += 1
        last = section.tasks[-1]
        depth = section.costs[last.operation].depth_cycles
        self.first_before = times.first[last.index] + depth
        self.all_before = times.ends[last.index] + depth
        self.started = True
        return records

    def _standing(self, groups: Sequence[TaskGroup], times: _TaskTimes) -> np.ndarray:
        """Return the state after a phase and the times of its tasks, relative to the end of the MAC array's work."""
        values = [*self.free.values(), *self.served.values()]
        for group in groups:
            for index in group.tasks:
                values += [times.begins[index], times.first[index], times.ends[index]]
        return self._from_array(values)

    def _skip(self, phases: Sequence[Sequence[TaskGroup]], took: Number, times: _TaskTimes) -> None:
        """Skip phases that repeat the first one: advance the state and set the times of their tasks."""
        for ahead, groups in enumerate(phases[1:], start=1):
            for group, later in zip(phases[0], groups, strict=True):
                for index, same in zip(group.tasks, later.tasks, strict=True):
                    times.begins[same] = times.begins[index] + took * ahead
                    times.first[same] = times.first[index] + took * ahead
                    times.ends[same] = times.ends[index] + took * ahead
        self._shift(took * (len(phases) - 1))

    def _phase(
        self, phase: int, groups: Sequence[TaskGroup], figures: list[_TaskFigures], times: _TaskTimes
    ) -> list[PhaseRecord]:
        """Time one phase; return its record if it uses the MAC array and a single mapping is timed."""
        before = self.free[MAC]
        reasons: list[Moment] = []
        begun: dict[str, tuple[Number, Number]] = {}
        waited: Moment = (0.0, "")
        for group in groups:
            begins, ends, why = self._group(figures, group, times, begun)
            if group.chunk == MAC and not self.many:
                if not reasons:
                    waited = (begins[0] - before, begins[1])
                reasons.append((ends, why))
        if not reasons:
            return []
        return [PhaseRecord(phase, self.free[MAC] - before, *waited, max(reasons)[1])]

    def _group(
        self,
        figures: list[_TaskFigures],
        group: TaskGroup,
        times: _TaskTimes,
        begun: dict[str, tuple[Number, Number]],
    ) -> tuple[Moment, Number, str]:
        """Time one task group; return its begin with the reason, its end, and the reason of the end."""
        chunk, members = group.chunk, [figures[index] for index in group.tasks]
        ready = [self._ready(figures, member, times) for member in members]
        earliest = ready[0]
        for other in ready[1:]:
            earliest = (np.minimum(earliest[0], other[0]), "") if self.many else min(earliest, other)
        # Later levels fill the gaps of earlier ones, so the work of all levels counts from the begin of the first.
        block, done = begun.get(chunk, (None, 0.0))
        start = self._last([(self.free[chunk] if block is None else block, f"{chunk}: busy"), earliest])
        work = sum(member.work for member in members)
        block, done = start[0] if block is None else block, done + work
        begun[chunk] = block, done
        ends = [(block + done, chunk), (start[0] + work, earliest[1])]
        self._tails(figures, members, times, ends)
        self._shared(members, start[0], ends)
        if any(member.softmax for member in members):
            self._pressure(members, start[0], ends)
        end, why = self._last(ends)
        before = 0.0
        for member, moment in zip(members, ready, strict=True):
            before = before + member.tile
            begins = self._latest([start[0], moment[0]])
            first = begins + before
            if member.late:
                first = first + member.late * (end - begins)
            if member.task.aligned:
                need = member.task.needs[-1][0]
                first = self._latest([first, times.first[need] + figures[need].depth])
            index = member.task.index
            times.begins[index], times.first[index], times.ends[index] = begins, first, end
        self.free[chunk] = self._latest([self.free[chunk], end])
        return start, end, why

    def _figures_of(self, section: TaskSection) -> list[_TaskFigures]:
        """Return the figures of a section's tasks; they are computed once per section."""
        if id(section) not in self.known:
            self.known[id(section)] = section, [self._figures(section, task) for task in section.tasks]
        return self.known[id(section)][1]

    def _figures(self, section: TaskSection, task: Task) -> _TaskFigures:
        cost, share, tiles = section.costs[task.operation], task.share, task.tiles
        moved = cost.activation_bytes / self.machine.buffers.activation.bytes_per_cycle
        # A chunk is occupied until the re-quantization lanes and the buffer port have served the task too.
        held = self._latest([cost.occupied_cycles, float(cost.requant_cycles), moved]) / share
        figures = _TaskFigures(
            task=task,
            chunk=cost.chunk,
            depth=cost.depth_cycles,
            work=held,
            tile=held / tiles,
            last_rows=held * (tiles - task.groups + 1) / tiles,
            late=(task.passes - 1) / task.passes,
            served=((REQUANT, cost.requant_cycles / share), (ACTIVATION_BUFFER, moved / share)),
            load=task.fetched_bytes / self.rate,
            spilled=task.spilled_bytes / self.rate,
        )
        if section.operations[task.operation].kind == "scores":
            return self._with_softmax(section, figures)
        return figures

    def _with_softmax(self, section: TaskSection, figures: _TaskFigures) -> _TaskFigures:
        """Add to the figures of scores how long a slow softmax delays them."""
        task, cost = figures.task, section.costs[figures.task.operation]
        behind = []
        for later in section.tasks[task.index + 1 :]:
            behind.append(section.costs[later.operation])
            if behind[-1].chunk == SOFTMAX:
                break
        each = [other.occupied_cycles / task.share / task.tiles for other in behind]
        held = self.machine.buffers.accumulator.size_bytes // (
            cost.accumulator_bytes / task.share / task.tiles
        )
        waits = self._latest([task.tiles - held, 0.0 * held]) * self._latest(each)
        latency = figures.depth + sum(other.depth_cycles for other in behind[:-1]) + sum(each[:-1])
        return replace(figures, softmax=(latency, waits + figures.tile))

    def _ready(self, figures: list[_TaskFigures], member: _TaskFigures, times: _TaskTimes) -> Moment:
        """Return the moment at which the first rows of a task are available."""
        moments: list[Moment] = []
        for need, how in member.task.needs:
            producer = figures[need]
            if how == "all":
                moment = times.ends[need]
            elif member.task.aligned:
                moment = times.begins[need]
            else:
                moment = times.first[need]
                # A producer with smaller row groups needs several groups to fill the first group of this task.
                further = -(-producer.task.groups // member.task.groups) - 1
                if self.many or further:
                    each = (times.ends[need] - times.begins[need]) / producer.task.tiles
                    moment = moment + further * each
            moments.append((moment + producer.depth, producer.rows_missing))
        for index in member.task.reuses:
            moments.append((times.ends[index] + figures[index].depth, SPACE))
        if not member.task.needs:
            before = "rows of the section before" if self.started else f"{DRAM}: first weights and pixels"
            moments.append((self.first_before, before))
        return self._last(moments)

    def _tails(
        self,
        figures: list[_TaskFigures],
        members: Sequence[_TaskFigures],
        times: _TaskTimes,
        ends: list[Moment],
    ) -> None:
        """Add the ends that follow from the last input rows and the work that remains then."""
        left: dict[int, Number] = {}
        for member in members:
            for need, how in member.task.needs:
                own = member.work if how == "all" else 0.0 if member.task.aligned else member.last_rows
                left[need] = left.get(need, 0.0) + own
            if not member.task.needs:
                left[-1] = left.get(-1, 0.0) + member.last_rows
        for need, rest in left.items():
            if need < 0:
                ends.append((self.all_before + rest, "rows of the section before"))
            else:
                ends.append((times.ends[need] + figures[need].depth + rest, figures[need].slower))

    def _shared(self, members: Sequence[_TaskFigures], start: Number, ends: list[Moment]) -> None:
        """Add the ends that the shared resources allow: re-quantization lanes, activation buffer and DRAM."""
        for at, name in enumerate((REQUANT, ACTIVATION_BUFFER)):
            cycles = sum(member.served[at][1] for member in members)
            if isinstance(cycles, np.ndarray) or cycles:
                if name == REQUANT:
                    cycles = cycles + _idle_lanes(members, at)
                self.served[name] = self._latest([self.served[name], start]) + cycles
                ends.append((self.served[name], f"{name}: slower than the array"))
        if loads := sum(member.load for member in members):
            begin = self._latest([self.served[DRAM], start - self.ahead])
            self.served[DRAM] = begin + loads
            ends.append((self.served[DRAM], f"{DRAM}: weights not there yet"))
        if spilled := sum(member.spilled for member in members):
            self.served[DRAM] = self._latest([self.served[DRAM], start]) + spilled
            ends.append((self.served[DRAM], f"{DRAM}: what leaves the chip"))

    def _pressure(self, members: Sequence[_TaskFigures], start: Number, ends: list[Moment]) -> None:
        """Add the ends of scores that wait because a slow softmax keeps the accumulator buffer full."""
        first_tiles = sum(member.tile for member in members)
        for member in members:
            if member.softmax:
                latency, waits = member.softmax
                begins = self._latest([self.free[SOFTMAX], start + first_tiles + latency])
                ends.append((begins + waits, f"{SOFTMAX}: its scores fill the accumulator buffer"))


def _idle_lanes(members: Sequence[_TaskFigures], at: int) -> Number:
    """Compute the cycles that the re-quantization lanes have nothing to do, because the array works on scores.

    Linear layers and scores take turns on the array. Attention × V of the same rows comes later and asks for the lanes
    while one of the linear layers uses them. Only if that is the last one before the next scores, the lanes serve
    attention × V during the scores. Each of the linear layers is equally likely.

    Args:
        members: Tasks that take turns on one chunk.
        at: Position of the re-quantization lanes in ``served``.
    """
    users = sum(1 for member in members if member.served[at][1])
    return sum(member.work for member in members if not member.served[at][1]) * (users - 1) / users
