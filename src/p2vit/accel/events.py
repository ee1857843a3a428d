"""Event-driven timing at tile granularity: every chunk, buffer and memory port takes one tile after the
other.

It executes the same schedule as the closed form but knows none of its sums. A chunk begins a tile when the
tile's operands are complete, its weights arrive as fast as it takes them, the buffer it writes to has room and the
chunk is free. Tables and adds take columns as they come, so they begin with the tile that they follow. Of the
tiles in the chunk's current phase that may begin, those that others follow go first, then the one that is furthest
behind. Whenever a chunk stands still, what its next tile was waiting for is written down.

The re-quantization lanes and the ports of the activation buffer are shared by chunks; they serve tiles in
order of arrival, and a chunk is held until what its tile asked of them is served.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable

from p2vit.accel.costs import ACTIVATION_BUFFER, CHUNKS, DRAM, REQUANT, starved_by
from p2vit.accel.dataflow import Schedule
from p2vit.accel.load_store.events import simulate_units
from p2vit.accel.machine import LoadStoreMachine, Machine
from p2vit.accel.memory import pipelined
from p2vit.accel.streams import Stream, streams_of
from p2vit.accel.timing import Tile, Timing

_DATA, _FREE, _WEIGHTS = 0, 1, 2


def simulate_events(machine: Machine, plan: Schedule) -> Timing:
    """Run a schedule tile by tile.

    Args:
        machine: The machine that the schedule was made for.
        plan: A schedule without misfits.

    Returns:
        Timing with every tile; stalls have reasons, and busy + stalls add up to the run for every chunk.

    Raises:
        RuntimeError: if the schedule deadlocks, which is a defect of the dataflow, never of the input.
    """
    if isinstance(machine, LoadStoreMachine):
        return simulate_units(machine, plan)
    run = _Run(machine, plan)
    run.go()
    return run.timing()


class _Run:
    """State of one simulation."""

    def __init__(self, machine: Machine, plan: Schedule) -> None:
        self.machine, self.plan = machine, plan
        self.streams = streams_of(machine, plan)
        self.now = 0.0
        self.heap: list[tuple[float, int, int, int]] = []
        self.events = 0
        self.free_at = dict.fromkeys(CHUNKS, 0.0)
        self.running = dict.fromkeys(CHUNKS, False)
        self.served = {REQUANT: 0.0, ACTIVATION_BUFFER: 0.0}
        self.busy: dict[str, float] = defaultdict(float)
        self.stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
        self.tiles: list[Tile] = []
        self.queues: dict[str, list[Stream]] = {chunk: [] for chunk in CHUNKS}
        for stream in self.streams:
            self.queues[stream.chunk].append(stream)
        self.heads = dict.fromkeys(CHUNKS, 0)
        self.window: dict[str, tuple[int, int]] = dict.fromkeys(CHUNKS, (-1, -1))
        # DRAM serves loads in program order; a load waits for room in the weight buffer.
        self.loads = [stream for stream in self.streams if stream.load_bytes for _ in range(stream.passes)]
        self.next_load = 0
        self.dram_free = 0.0
        self.weight_room = float(machine.buffers.weight.size_bytes)
        self.score_room = float(machine.buffers.accumulator.size_bytes) if pipelined(machine) else math.inf
        serial = not pipelined(machine)
        self.turn = machine.turn_cycles
        self.serial = serial
        self.last_stream = -1

    def go(self) -> None:
        """Process events until every tile is done."""
        self._load_weights()
        self._issue(CHUNKS)
        while self.heap:
            self.now = self.heap[0][0]
            touched: set[str] = set()
            while self.heap and self.heap[0][0] == self.now:
                _, _, kind, index = heapq.heappop(self.heap)
                touched |= self._happened(kind, self.streams[index])
            self._load_weights()
            self._issue(touched)
        unfinished = [stream for stream in self.streams if stream.done < stream.tiles]
        if unfinished:
            stuck = unfinished[0]
            name = self.plan.operations[stuck.section][stuck.operation].name
            raise RuntimeError(
                f"{name} never ran to its end: {stuck.blocked_by or 'not reached'}; this is a defect"
            )

    def _happened(self, kind: int, stream: Stream) -> set[str]:
        """Apply one event; returns the chunks that may now have something to do."""
        if kind == _FREE:
            self.running[stream.chunk] = False
            return {stream.chunk}
        if kind == _WEIGHTS:
            stream.loaded += 1
            return {stream.chunk}
        stream.done += 1
        touched = {self.streams[reader].chunk for reader in stream.readers}
        if stream.weight_bytes and stream.done % stream.groups == 0:
            self.weight_room += stream.weight_bytes
        if stream.score_bytes < 0:
            self.score_room -= stream.score_bytes
            touched.add("mac_array")
        if stream.done == stream.tiles:
            touched |= set(CHUNKS) if self.serial else {"mac_array"}
        return touched

    def _push(self, time: float, kind: int, stream: Stream) -> None:
        self.events += 1
        heapq.heappush(self.heap, (time, self.events, kind, stream.index))

    def _load_weights(self) -> None:
        """Start every load that there is room for; DRAM streams them back to back."""
        while self.next_load < len(self.loads):
            stream = self.loads[self.next_load]
            if stream.weight_bytes > self.weight_room + 1e-6:
                return
            self.weight_room -= stream.weight_bytes
            start = max(self.now, self.dram_free)
            cycles = stream.load_bytes / self.machine.dram_bytes_per_cycle
            self.dram_free = start + cycles
            self.busy[DRAM] += cycles
            # The array follows its weights column by column, so it need not wait for the last of them.
            soonest = max(start, self.dram_free - stream.occupied)
            self._push(soonest + self.machine.dram_latency_cycles, _WEIGHTS, stream)
            self.next_load += 1

    def _issue(self, chunks: Iterable[str]) -> None:
        touched = set(chunks)
        for chunk in CHUNKS:
            if chunk in touched and not self.running[chunk]:
                stream = self._next(chunk)
                if stream:
                    self._begin(stream)
                    # What takes its columns as they come begins with it.
                    touched |= {self.streams[reader].chunk for reader in stream.readers}

    def _next(self, chunk: str) -> Stream | None:
        """The stream whose tile begins next: of the current phase, what others follow, then what lags."""
        queue, head = self.queues[chunk], self.heads[chunk]
        while head < len(queue) and queue[head].issued == queue[head].tiles:
            head += 1
        self.heads[chunk] = head
        if head == len(queue):
            return None
        window = queue[head].window
        best: Stream | None = None
        least = (math.inf, math.inf)
        for position in range(head, len(queue)):
            stream = queue[position]
            if stream.window != window:
                break
            if stream.issued < stream.tiles:
                urgency = (stream.behind, stream.issued / stream.tiles)
                if urgency < least and self._ready(stream):
                    best, least = stream, urgency
        return best

    def _ready(self, stream: Stream) -> bool:
        """Whether the next tile may begin; if not, writes down why."""
        for need, how, aligned in stream.needs:
            producer = self.streams[need]
            there = len(producer.ends) if aligned else producer.done
            if there < stream.needed_of(producer, how, aligned):
                stream.blocked_by = f"{producer.chunk}: rows not there yet"
                return False
        for index in stream.reuses:
            if self.streams[index].done < self.streams[index].tiles:
                stream.blocked_by = f"{ACTIVATION_BUFFER}: space of the head before last still in use"
                return False
        if stream.load_bytes and stream.loaded <= stream.issued // stream.groups:
            stream.blocked_by = f"{DRAM}: weights not there yet"
            return False
        if stream.score_bytes > 0 and self.score_room + 1e-6 < stream.score_bytes:
            stream.blocked_by = "softmax: its scores fill the accumulator buffer"
            return False
        return True

    def _begin(self, stream: Stream) -> None:
        """Run one tile: take the chunk, the shared servers and the buffer room."""
        chunk, start = stream.chunk, self.now
        waited = start - self.free_at[chunk]
        reason = (stream.blocked_by or "start") if waited > 0 else ""
        if waited > 0:
            self.stalls[chunk][reason] += waited
        if self.turn and stream.index != self.last_stream:
            self.stalls[chunk]["reconfiguration"] += self.turn
            start += self.turn
            self.last_stream = stream.index
        if stream.score_bytes > 0:
            self.score_room -= stream.score_bytes
        end = start + stream.occupied
        self.busy[chunk] += stream.occupied - stream.starved - stream.exposed
        if stream.starved:
            operation = self.plan.sections[stream.section].operations[stream.operation]
            self.stalls[chunk][starved_by(operation.kind)] += stream.starved
        if stream.exposed:
            self.stalls[chunk][f"{REQUANT}: not hidden"] += stream.exposed
        free = end
        for server, work in ((REQUANT, stream.requant), (ACTIVATION_BUFFER, stream.activation)):
            if work:
                self.served[server] = max(self.served[server], start) + work
                self.busy[server] += work
                if self.served[server] > free:
                    self.stalls[chunk][f"{server}: slower than the array"] += self.served[server] - free
                    free = self.served[server]
        last = self._last_column(stream)
        if last > free:
            self.stalls[chunk]["columns not there yet"] += last - free
            free = last
        if stream.spilled:
            self.dram_free = max(self.dram_free, start) + stream.spilled
            self.busy[DRAM] += stream.spilled
            if self.dram_free > free:
                self.stalls[chunk][f"{DRAM}: what leaves the chip"] += self.dram_free - free
                free = self.dram_free
        self.running[chunk] = True
        self.free_at[chunk] = free
        stream.issued += 1
        stream.ends.append(free + stream.depth)
        stream.blocked_by = ""
        self.tiles.append(
            Tile(chunk, stream.section, stream.operation, start, free, max(waited, 0.0), reason)
        )
        self._push(free, _FREE, stream)
        self._push(free + stream.depth, _DATA, stream)

    def _last_column(self, stream: Stream) -> float:
        """When the last column is there of the tile that the stream's next tile follows; 0 where it follows none."""
        return max(
            (
                self.streams[need].ends[stream.needed_of(self.streams[need], how, aligned) - 1]
                for need, how, aligned in stream.needs
                if aligned
            ),
            default=0.0,
        )

    def timing(self) -> Timing:
        """The record of a finished run."""
        cycles = math.ceil(self.now - 1e-6)
        for chunk in CHUNKS:
            rest = cycles - self.busy[chunk] - sum(self.stalls[chunk].values())
            if rest > 0:
                self.stalls[chunk]["finished: nothing left to do"] += rest
        tiles = sorted(self.tiles, key=lambda tile: (tile.start, tile.chunk))
        return Timing(
            cycles,
            dict(self.busy),
            {chunk: dict(reasons) for chunk, reasons in self.stalls.items()},
            self._operation_cycles(tiles, cycles),
            tiles=tuple(tiles),
        )

    def _operation_cycles(self, tiles: list[Tile], cycles: int) -> tuple[tuple[float, ...], ...]:
        """Cut the run at the ends of MAC tiles and give each piece to the tile that ends it; the rest to the
        last.
        """
        per_section = [[0.0] * len(section.operations) for section in self.plan.sections]
        at = 0.0
        last = tiles[-1]
        for tile in tiles:
            if tile.chunk == "mac_array" and tile.end > at:
                per_section[tile.section][tile.operation] += tile.end - at
                at = tile.end
        per_section[last.section][last.operation] += cycles - at
        return tuple(tuple(section) for section in per_section)
