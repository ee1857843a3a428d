"""Rows that flow from chunk to chunk, in closed form: when each part of a section begins and ends.

Every rule is a maximum of sums: a part begins when its chunk is free and its first rows are there; it ends no
earlier than its own work allows, than the last rows that it waits for allow, and than the re-quantization lanes,
the activation buffer and DRAM allow. Work of one phase may run on while the array is in the next. Nothing here
grows when a chunk, a port or a buffer does, so of two machines with the same mapping the larger is never slower.

The same code times one mapping (plain numbers, with reasons) or many at once (arrays, one element per mapping).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from p2vit.accel.costs import ACTIVATION_BUFFER, CHUNKS, DRAM, ELEMENTWISE, MAC, REQUANT, SOFTMAX, Cost, Number
from p2vit.accel.dataflow import Group, Part, Section
from p2vit.accel.machine import Machine

#: Cycles by which two walks over the same thing may differ and still count as equal.
SAME = 1e-6
#: A moment, and what it was waited for until then.
Moment = tuple[Number, str]


@dataclass(frozen=True)
class PhaseRecord:
    """The MAC array in one phase, of a single mapping.

    Attributes:
        phase: Position in the section.
        cycles: From the end of the array's last phase to the end of this.
        waited: Of these, before its first tile could begin.
        waited_for: Why.
        limited_by: What set its end.
    """

    phase: int
    cycles: float
    waited: float
    waited_for: str
    limited_by: str


@dataclass
class _Marks:
    """When the parts of the current section begin, have their first rows, and end."""

    begins: dict[int, Number] = field(default_factory=dict)
    first: dict[int, Number] = field(default_factory=dict)
    ends: dict[int, Number] = field(default_factory=dict)


class Flow:
    """Chunks, ports and DRAM between two sections.

    Args:
        machine: The machine.
        many: Number of mappings whose costs are arrays; 0 for a single mapping.
    """

    def __init__(self, machine: Machine, *, many: int = 0) -> None:
        self.machine, self.many = machine, many
        start: Number = float(machine.dram_latency_cycles)
        if many:
            start = np.full(many, start)
        self.free: dict[str, Number] = dict.fromkeys(CHUNKS, start)
        self.served: dict[str, Number] = {REQUANT: start, ACTIVATION_BUFFER: start, DRAM: start}
        # First and last rows of the section before.
        self.first_before, self.all_before = start, start
        self.started = False
        self.rate = machine.dram_bytes_per_cycle
        # Half of the weight buffer is filled while the other half is read.
        self.ahead = machine.buffers.weight.size_bytes / 2 / self.rate

    def state(self) -> np.ndarray:
        """Where everything stands, counted from the end of the MAC array's work."""
        return self._from_array(
            [*self.free.values(), *self.served.values(), self.first_before, self.all_before]
        )

    def _from_array(self, moments: Sequence[Number]) -> np.ndarray:
        """Moments counted from the end of the MAC array's work, one row each."""
        end = self.free[MAC]
        if not self.many:
            return np.array(moments) - end
        return np.array([np.broadcast_to(moment, end.shape) for moment in moments]) - end

    def move_on(self, cycles: Number) -> None:
        """Let time pass: everything stands as before, later."""
        self._shift(cycles)
        self.first_before, self.all_before = self.first_before + cycles, self.all_before + cycles

    def _shift(self, cycles: Number) -> None:
        for moments in (self.free, self.served):
            for name in moments:
                moments[name] = moments[name] + cycles

    def end(self) -> Number:
        """When all is done."""
        return self._latest([*self.free.values(), self.all_before])

    def _latest(self, moments: Iterable[Number]) -> Number:
        return reduce(np.maximum, moments) if self.many else max(moments)

    def _last(self, moments: Sequence[Moment]) -> Moment:
        """The latest moment; of a single mapping also why."""
        if self.many:
            return reduce(np.maximum, [moment for moment, _ in moments]), ""
        return max(moments, key=lambda moment: moment[0])

    def section(self, section: Section) -> list[PhaseRecord]:
        """Walk one section.

        Args:
            section: Laid out for this machine.

        Returns:
            Its phases on the MAC array, where a single mapping is walked.
        """
        marks, records = _Marks(), []
        phase = 0
        while phase < section.phases:
            before = self._standing(section, phase - 1, marks)
            end = self.free[MAC]
            records += self._phase(section, phase, marks)
            took = self.free[MAC] - end
            alike = section.alike[phase]
            if alike and before is not None:
                after = self._standing(section, phase, marks)
                if after is not None and np.abs(after - before).max() < SAME:
                    self._skip(section, phase, alike, took, marks)
                    records += [replace(record, phase=record.phase + ahead)
                                for ahead in range(1, alike + 1) for record in records[-1:]]  # fmt: skip
                    phase += alike
            phase += 1
        last = section.parts[-1]
        depth = section.costs[last.operation].depth_cycles
        self.first_before = marks.first[last.index] + depth
        self.all_before = marks.ends[last.index] + depth
        self.started = True
        return records

    def _standing(self, section: Section, phase: int, marks: _Marks) -> np.ndarray | None:
        """Where everything stands behind a phase, and its parts, counted from the end of the MAC array's work."""
        if phase < 1 or not section.alike[max(phase - 1, 0)]:
            return None
        values = [*self.free.values(), *self.served.values()]
        for group in section.groups[phase]:
            for index in group.parts:
                values += [marks.begins[index], marks.first[index], marks.ends[index]]
        return self._from_array(values)

    def _skip(self, section: Section, phase: int, alike: int, took: Number, marks: _Marks) -> None:
        """Phases that are like the last one take as long: move everything on, and note their parts."""
        groups = section.groups[phase]
        for ahead in range(1, alike + 1):
            for group, later in zip(groups, section.groups[phase + ahead], strict=True):
                for index, same in zip(group.parts, later.parts, strict=True):
                    marks.begins[same] = marks.begins[index] + took * ahead
                    marks.first[same] = marks.first[index] + took * ahead
                    marks.ends[same] = marks.ends[index] + took * ahead
        self._shift(took * alike)

    def _phase(self, section: Section, phase: int, marks: _Marks) -> list[PhaseRecord]:
        """Walk one phase; its record, where a single mapping is walked and it uses the MAC array."""
        before = self.free[MAC]
        reasons: list[Moment] = []
        begun: dict[str, tuple[Number, Number]] = {}
        waited: Moment = (0.0, "")
        for group in section.groups[phase]:
            begins, ends, why = self._group(section, group, marks, begun)
            if group.chunk == MAC and not self.many:
                if not reasons:
                    waited = (begins[0] - before, begins[1])
                reasons.append((ends, why))
        if not reasons:
            return []
        return [PhaseRecord(phase, self.free[MAC] - before, *waited, max(reasons)[1])]

    def _group(
        self, section: Section, group: Group, marks: _Marks, begun: dict[str, tuple[Number, Number]]
    ) -> tuple[Moment, Number, str]:
        """Time one group: when it begins and why then, when it ends and why then."""
        chunk, parts = group.chunk, [section.parts[index] for index in group.parts]
        costs = [section.costs[part.operation] for part in parts]
        work = [self._held(cost) / part.share for part, cost in zip(parts, costs, strict=True)]
        ready = [self._ready(section, part, marks) for part in parts]
        earliest = ready[0]
        for other in ready[1:]:
            earliest = (np.minimum(earliest[0], other[0]), "") if self.many else min(earliest, other)
        # Later levels fill the gaps of earlier ones, so the work of all counts from the first's beginning.
        block, done = begun.get(chunk, (None, 0.0))
        start = self._last([(self.free[chunk] if block is None else block, f"{chunk}: busy"), earliest])
        done = done + sum(work)
        begun[chunk] = (start[0] if block is None else block, done)
        ends = [(begun[chunk][0] + done, chunk), (start[0] + sum(work), earliest[1])]
        ends += self._tails(section, parts, work, marks)
        ends += self._shared(section, parts, start[0])
        ends += self._pressure(section, parts, work, start[0])
        end, why = self._last(ends)
        before = 0.0
        for part, own, moment in zip(parts, work, ready, strict=True):
            before = before + own / part.tiles
            begins = self._latest([start[0], moment[0]])
            marks.begins[part.index], marks.ends[part.index] = begins, end
            first = begins + before + (part.passes - 1) / part.passes * (end - begins)
            if part.aligned:
                need = part.needs[-1][0]
                depth = section.costs[section.parts[need].operation].depth_cycles
                first = self._latest([first, marks.first[need] + depth])
            marks.first[part.index] = first
        self.free[chunk] = self._latest([self.free[chunk], end])
        return start, end, why

    def _held(self, cost: Cost) -> Number:
        """Cycles that a chunk is held by an operation: until the lanes and the port behind it have served it too."""
        moved = cost.activation_bytes / self.machine.buffers.activation.bytes_per_cycle
        return self._latest([cost.occupied_cycles, float(cost.requant_cycles), moved])

    def _ready(self, section: Section, part: Part, marks: _Marks) -> Moment:
        """When a part's first rows are there."""
        moments: list[Moment] = []
        for need, how in part.needs:
            producer = section.parts[need]
            cost = section.costs[producer.operation]
            why = f"{cost.chunk}: rows not there yet"
            if how == "all":
                moment = marks.ends[need]
            elif part.aligned:
                moment = marks.begins[need]
            else:
                moment = marks.first[need] + self._further_groups(part, producer, marks)
            moments.append((moment + cost.depth_cycles, why))
        for index in part.reuses:
            depth = section.costs[section.parts[index].operation].depth_cycles
            why = f"{ACTIVATION_BUFFER}: space of the head before last still in use"
            moments.append((marks.ends[index] + depth, why))
        if not part.needs:
            before = "rows of the section before" if self.started else f"{DRAM}: first weights and pixels"
            moments.append((self.first_before, before))
        return self._last(moments)

    def _further_groups(self, part: Part, producer: Part, marks: _Marks) -> Number:
        """Until a producer of smaller row groups has made as many rows as the part's first group has."""
        need = producer.index
        further = -(-producer.groups // part.groups) - 1
        each = (marks.ends[need] - marks.begins[need]) / producer.tiles
        return further * each

    def _tails(
        self, section: Section, parts: Sequence[Part], work: Sequence[Number], marks: _Marks
    ) -> list[Moment]:
        """What is left to do when the last rows come."""
        left: dict[int, Number] = defaultdict(float)
        for part, own in zip(parts, work, strict=True):
            last_rows = own * (part.tiles - part.groups + 1) / part.tiles
            for need, how in part.needs:
                left[need] = left[need] + (own if how == "all" else 0 if part.aligned else last_rows)
            if not part.needs:
                left[-1] = left[-1] + last_rows
        moments = []
        for need, rest in left.items():
            if need < 0:
                moments.append((self.all_before + rest, "rows of the section before"))
                continue
            cost = section.costs[section.parts[need].operation]
            moment = marks.ends[need] + cost.depth_cycles + rest
            moments.append((moment, f"{cost.chunk}: slower than the array" if cost.chunk != MAC else MAC))
        return moments

    def _shared(self, section: Section, parts: Sequence[Part], start: Number) -> list[Moment]:
        """Re-quantization lanes, ports of the activation buffer, DRAM: they serve one after the other."""
        moments = []
        port = self.machine.buffers.activation.bytes_per_cycle
        demands: dict[str, Number] = {REQUANT: 0.0, ACTIVATION_BUFFER: 0.0}
        for part in parts:
            cost = section.costs[part.operation]
            demands[REQUANT] += cost.requant_cycles / part.share
            demands[ACTIVATION_BUFFER] = demands[ACTIVATION_BUFFER] + cost.activation_bytes / port / part.share
        for name, cycles in demands.items():
            if self.many or cycles:
                self.served[name] = self._latest([self.served[name], start]) + cycles
                moments.append((self.served[name], f"{name}: slower than the array"))
        loads = sum(part.fetched_bytes for part in parts) / self.rate
        if loads:
            begin = self._latest([self.served[DRAM], start - self.ahead])
            self.served[DRAM] = begin + loads
            moments.append((self.served[DRAM], f"{DRAM}: weights not there yet"))
        if spilled := sum(part.spilled_bytes for part in parts) / self.rate:
            self.served[DRAM] = self._latest([self.served[DRAM], start]) + spilled
            moments.append((self.served[DRAM], f"{DRAM}: what leaves the chip"))
        return moments

    def _pressure(
        self, section: Section, parts: Sequence[Part], work: Sequence[Number], start: Number
    ) -> list[Moment]:
        """Scores wait when a slow softmax leaves them no room in the accumulator buffer."""
        moments = []
        tiles_ahead = sum(own / part.tiles for part, own in zip(parts, work, strict=True))
        for part, own in zip(parts, work, strict=True):
            if section.operations[part.operation].kind != "scores":
                continue
            softmax = next(
                later for later in section.parts[part.index :]
                if section.costs[later.operation].chunk == SOFTMAX
            )  # fmt: skip
            between = section.parts[part.index + 1 : softmax.index + 1]
            each = self._latest([_tile(section, other) for other in between])
            cost = section.costs[part.operation]
            of_a_tile = cost.accumulator_bytes / part.share / part.tiles
            held = self.machine.buffers.accumulator.size_bytes // of_a_tile
            begins = self._latest(
                [self.free[SOFTMAX], start + tiles_ahead + sum(_latency(section, p) for p in (part, *between[:-1]))]
            )
            waits = self._latest([part.tiles - held, 0.0 * held]) * each
            moments.append((begins + waits + own / part.tiles, f"{SOFTMAX}: its scores fill the accumulator buffer"))
        return moments


def _tile(section: Section, part: Part) -> Number:
    return section.costs[part.operation].occupied_cycles / part.share / part.tiles


def _latency(section: Section, part: Part) -> Number:
    """Depth, and the first tile of what stands between scores and softmax."""
    cost = section.costs[part.operation]
    return cost.depth_cycles + (_tile(section, part) if cost.chunk == ELEMENTWISE else 0)
