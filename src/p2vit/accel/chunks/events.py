"""Event-driven timing, tile by tile, with every chunk, buffer and memory port.

The simulation executes the same schedule as the closed form and shares none of its formulas. A chunk begins a tile
when the chunk is free, the operands are complete, the weights arrive fast enough, and the output buffer has room.
Tables and adds take columns as they arrive, so they begin together with the tile that they follow. If several tiles of
the current phase may begin, tiles that others wait for go first, then the task with the smallest finished share.
Whenever a chunk waits, the simulation records what its next tile waited for.

Chunks share the re-quantization lanes and the ports of the activation buffer. Both serve tiles in order of arrival,
and a chunk is occupied until its tile has been served.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable

from p2vit.accel.chunks.costs import ACTIVATION_BUFFER, CHUNKS, DRAM, REQUANT, starvation_reason
from p2vit.accel.chunks.dataflow import TaskSection
from p2vit.accel.chunks.memory import pipelined
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.chunks.task_state import TaskState, task_states
from p2vit.accel.machine.description import Machine
from p2vit.accel.timing import Tile, Timing

_DATA, _FREE, _WEIGHTS = 0, 1, 2


def simulate_tasks(machine: Machine, plan: Schedule[TaskSection]) -> Timing:
    """Simulate a schedule tile by tile.

    Args:
        machine: Machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with every tile. Every stall has a reason, and busy and stalled cycles of each chunk add up to the run.

    Raises:
        RuntimeError: The schedule deadlocks. This is a defect of the dataflow, never of the input.
    """
    run = _Run(machine, plan)
    run.go()
    return run.timing()


class _Run:
    """State of one simulation."""

    def __init__(self, machine: Machine, plan: Schedule[TaskSection]) -> None:
        self.machine, self.plan = machine, plan
        self.tasks = task_states(machine, plan)
        self.now = 0.0
        self.heap: list[tuple[float, int, int, int]] = []
        self.events = 0
        self.free_at = dict.fromkeys(CHUNKS, 0.0)
        self.running = dict.fromkeys(CHUNKS, False)
        self.served = {REQUANT: 0.0, ACTIVATION_BUFFER: 0.0}
        self.busy: dict[str, float] = defaultdict(float)
        self.stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
        self.tiles: list[Tile] = []
        self.queues: dict[str, list[TaskState]] = {chunk: [] for chunk in CHUNKS}
        for task in self.tasks:
            self.queues[task.chunk].append(task)
        self.heads = dict.fromkeys(CHUNKS, 0)
        self.window: dict[str, tuple[int, int]] = dict.fromkeys(CHUNKS, (-1, -1))
        # DRAM serves loads in program order. A load waits for room in the weight buffer.
        self.loads = [task for task in self.tasks if task.load_bytes for _ in range(task.passes)]
        self.next_load = 0
        self.dram_free = 0.0
        self.weight_room = float(machine.buffers.weight.size_bytes)
        self.score_room = float(machine.buffers.accumulator.size_bytes) if pipelined(machine) else math.inf
        serial = not pipelined(machine)
        self.switch_cycles = machine.switch_cycles
        self.serial = serial
        self.last_task = -1

    def go(self) -> None:
        """Process events until all tiles are done."""
        self._load_weights()
        self._issue(CHUNKS)
        while self.heap:
            self.now = self.heap[0][0]
            touched: set[str] = set()
            while self.heap and self.heap[0][0] == self.now:
                _, _, kind, index = heapq.heappop(self.heap)
                touched |= self._happened(kind, self.tasks[index])
            self._load_weights()
            self._issue(touched)
        unfinished = [task for task in self.tasks if task.done < task.tiles]
        if unfinished:
            stuck = unfinished[0]
            name = self.plan.operations[stuck.section][stuck.operation].name
            raise RuntimeError(
                f"{name} never ran to its end: {stuck.blocked_by or 'not reached'}; this is a defect"
            )

    def _happened(self, kind: int, task: TaskState) -> set[str]:
        """Apply one event and return the chunks that may begin a tile because of it."""
        if kind == _FREE:
            self.running[task.chunk] = False
            return {task.chunk}
        if kind == _WEIGHTS:
            task.loaded += 1
            return {task.chunk}
        task.done += 1
        touched = {self.tasks[reader].chunk for reader in task.readers}
        if task.weight_bytes and task.done % task.groups == 0:
            self.weight_room += task.weight_bytes
        if task.score_bytes < 0:
            self.score_room -= task.score_bytes
            touched.add("mac_array")
        if task.done == task.tiles:
            touched |= set(CHUNKS) if self.serial else {"mac_array"}
        return touched

    def _push(self, time: float, kind: int, task: TaskState) -> None:
        self.events += 1
        heapq.heappush(self.heap, (time, self.events, kind, task.index))

    def _load_weights(self) -> None:
        """Start every load that the weight buffer has room for; DRAM serves them without gaps."""
        while self.next_load < len(self.loads):
            task = self.loads[self.next_load]
            if task.weight_bytes > self.weight_room + 1e-6:
                return
            self.weight_room -= task.weight_bytes
            start = max(self.now, self.dram_free)
            cycles = task.load_bytes / self.machine.dram_bytes_per_cycle
            self.dram_free = start + cycles
            self.busy[DRAM] += cycles
            # The array takes weights column by column, so it does not wait for the last column.
            soonest = max(start, self.dram_free - task.occupied)
            self._push(soonest + self.machine.dram_latency_cycles, _WEIGHTS, task)
            self.next_load += 1

    def _issue(self, chunks: Iterable[str]) -> None:
        touched = set(chunks)
        for chunk in CHUNKS:
            if chunk in touched and not self.running[chunk]:
                task = self._next(chunk)
                if task:
                    self._begin(task)
                    # Tasks that take columns as they arrive may begin with it.
                    touched |= {self.tasks[reader].chunk for reader in task.readers}

    def _next(self, chunk: str) -> TaskState | None:
        """Return the task of the current phase whose tile begins next, or None if none may begin."""
        queue, head = self.queues[chunk], self.heads[chunk]
        while head < len(queue) and queue[head].issued == queue[head].tiles:
            head += 1
        self.heads[chunk] = head
        if head == len(queue):
            return None
        window = queue[head].window
        best: TaskState | None = None
        least = (math.inf, math.inf)
        for position in range(head, len(queue)):
            task = queue[position]
            if task.window != window:
                break
            if task.issued < task.tiles:
                urgency = (task.behind, task.issued / task.tiles)
                if urgency < least and self._ready(task):
                    best, least = task, urgency
        return best

    def _ready(self, task: TaskState) -> bool:
        """Return whether the next tile may begin; if not, record why."""
        for need, how, aligned in task.needs:
            producer = self.tasks[need]
            there = len(producer.ends) if aligned else producer.done
            if there < task.needed_of(producer, how, aligned):
                task.blocked_by = f"{producer.chunk}: rows not there yet"
                return False
        for index in task.reuses:
            if self.tasks[index].done < self.tasks[index].tiles:
                task.blocked_by = f"{ACTIVATION_BUFFER}: space of the head before last still in use"
                return False
        if task.load_bytes and task.loaded <= task.issued // task.groups:
            task.blocked_by = f"{DRAM}: weights not there yet"
            return False
        if task.score_bytes > 0 and self.score_room + 1e-6 < task.score_bytes:
            task.blocked_by = "softmax: its scores fill the accumulator buffer"
            return False
        return True

    def _begin(self, task: TaskState) -> None:
        """Begin one tile: occupy the chunk, the shared resources and the buffer space."""
        chunk, start = task.chunk, self.now
        waited = start - self.free_at[chunk]
        reason = (task.blocked_by or "start") if waited > 0 else ""
        if waited > 0:
            self.stalls[chunk][reason] += waited
        if self.switch_cycles and task.index != self.last_task:
            self.stalls[chunk]["reconfiguration"] += self.switch_cycles
            start += self.switch_cycles
            self.last_task = task.index
        if task.score_bytes > 0:
            self.score_room -= task.score_bytes
        end = start + task.occupied
        self.busy[chunk] += task.occupied - task.starved - task.exposed
        if task.starved:
            operation = self.plan.sections[task.section].operations[task.operation]
            self.stalls[chunk][starvation_reason(operation.kind)] += task.starved
        if task.exposed:
            self.stalls[chunk][f"{REQUANT}: not hidden"] += task.exposed
        free = end
        for server, work in ((REQUANT, task.requant), (ACTIVATION_BUFFER, task.activation)):
            if work:
                self.served[server] = max(self.served[server], start) + work
                self.busy[server] += work
                if self.served[server] > free:
                    self.stalls[chunk][f"{server}: slower than the array"] += self.served[server] - free
                    free = self.served[server]
        last = self._last_column(task)
        if last > free:
            self.stalls[chunk]["columns not there yet"] += last - free
            free = last
        if task.spilled:
            self.dram_free = max(self.dram_free, start) + task.spilled
            self.busy[DRAM] += task.spilled
            if self.dram_free > free:
                self.stalls[chunk][f"{DRAM}: what leaves the chip"] += self.dram_free - free
                free = self.dram_free
        self.running[chunk] = True
        self.free_at[chunk] = free
        task.issued += 1
        task.ends.append(free + task.depth)
        task.blocked_by = ""
        self.tiles.append(Tile(chunk, task.section, task.operation, start, free, max(waited, 0.0), reason))
        self._push(free, _FREE, task)
        self._push(free + task.depth, _DATA, task)

    def _last_column(self, task: TaskState) -> float:
        """Return the cycle at which the followed tile has delivered its last column; 0 if no tile is followed."""
        return max(
            (
                self.tasks[need].ends[task.needed_of(self.tasks[need], how, aligned) - 1]
                for need, how, aligned in task.needs
                if aligned
            ),
            default=0.0,
        )

    def timing(self) -> Timing:
        """Return the timing of the finished run."""
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
        """Attribute the cycles up to each end of a MAC tile to that tile's operation; the rest to the last."""
        per_section = [[0.0] * len(section.operations) for section in self.plan.sections]
        at = 0.0
        last = tiles[-1]
        for tile in tiles:
            if tile.chunk == "mac_array" and tile.end > at:
                per_section[tile.section][tile.operation] += tile.end - at
                at = tile.end
        per_section[last.section][last.operation] += cycles - at
        return tuple(tuple(section) for section in per_section)
