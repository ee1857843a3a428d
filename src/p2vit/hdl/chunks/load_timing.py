"""Timing of the loads of the chunk organisation, on demand: weights arrive as the array takes the words before them."""

from collections import deque

from p2vit.hdl.chunks.compile.compiled import CompiledChunks
from p2vit.hdl.chunks.machine import QUEUE_DEPTH
from p2vit.hdl.chunks.top.descriptor import Descriptor, LoadTo

#: Cycles from the arrival of a word to the first cycle in which the weight queue puts it out.
QUEUE_LATENCY = 2


class LoadTimes:
    """Times loads in order. A load begins when the last answer of the load before it has arrived.

    Args:
        compiled: Compiled program.
        latency: Cycles from a read request to its answer.

    Attributes:
        patch_words: Cycle in which each word of a patch is written.
        norm_slots: Cycle from which on the slot of each finished LayerNorm is free.
    """

    def __init__(self, compiled: CompiledChunks, latency: int) -> None:
        self.compiled, self.latency = compiled, latency
        self.lines, self.depth = compiled.machine.lines, compiled.machine.fifo_words
        self.waiting: deque[tuple[Descriptor, int]] = deque()
        self.begun: list[int] = []
        self.dispatched = 0
        self.idle = 0
        self.patch_words: list[int] = []
        self.norm_slots: list[int] = [0, 0]
        self.norm_loads: list[int] = []
        self.norms = 0
        # Weights: cycles in which words arrived and were taken; words that are left of the load in progress.
        self.arrived: list[int] = []
        self.taken: list[int] = []
        self.left = 0
        self.request = 0

    def add(self, number: int, visible: int) -> None:
        """Add a load, which the chunk sees in a cycle."""
        self.waiting.append((self.compiled.descriptors[number], visible))
        self.dispatched += 1

    def room(self) -> int:
        """Return the first cycle in which a descriptor can be put into the queue."""
        if self.dispatched < QUEUE_DEPTH:
            return 0
        while len(self.begun) <= self.dispatched - QUEUE_DEPTH:
            self.advance()
        return self.begun[self.dispatched - QUEUE_DEPTH] + 1

    def advance(self) -> None:
        """Time one more load, or one more word of a load of weights."""
        if self.left:
            word = len(self.arrived)
            self.request += 1
            if word >= self.depth:
                assert word - self.depth < len(self.taken), (
                    "a load waits for words that the array never takes"
                )
                self.request = max(self.request, self.taken[word - self.depth] + 1)
            self.arrived.append(self.request + self.latency)
            self.left -= 1
            if not self.left:
                self.idle = self.arrived[-1] + 1
            return
        load, visible = self.waiting.popleft()
        start = max(visible, self.idle)
        to = load["to"]
        if to == LoadTo.NORM_PARAMETERS:
            start = max(start, self.norm_slots[len(self.norm_loads)])
        self.begun.append(start)
        if to == LoadTo.WEIGHTS:
            self.left, self.request = load["words"], start
            return
        end = start + load["words"] + self.latency
        self.idle = end + 1
        if to == LoadTo.NORM_PARAMETERS:
            self.norm_loads.append(end + 1)
        elif to == LoadTo.PATCHES:
            self.assemble(load, start + 1 + self.latency)

    def take(self, count: int, first: int) -> int:
        """Take words from the weight queue, from a cycle on; return the cycle of the last one."""
        at = first - 1
        for _ in range(count):
            word = len(self.taken)
            while len(self.arrived) <= word:
                self.advance()
            at = max(at + 1, self.arrived[word] + QUEUE_LATENCY)
            self.taken.append(at)
        return at

    def norm_parameters(self) -> int:
        """Return the first cycle in which the next LayerNorm sees its parameters."""
        while len(self.norm_loads) <= self.norms:
            self.advance()
        self.norms += 1
        return self.norm_loads[self.norms - 1]

    def patches(self, count: int) -> int:
        """Return the first cycle in which the counter of patch words has reached a count."""
        while len(self.patch_words) < count:
            self.advance()
        return self.patch_words[count - 1] + 1

    def assemble(self, load: Descriptor, cycle: int) -> None:
        """Time the words of the patches: a word is written in the first cycle in which it is whole."""
        lines, level = self.lines, 0
        for row in range(load["rows"]):
            for column in range(load["columns"]):
                for run in range(load["runs"]):
                    at = row * load["row_step"] + column * load["column_step"] + run * load["run_step"]
                    end = at + load["run"]
                    while at < end:
                        following = min((at // lines + 1) * lines, end)
                        if level >= lines:
                            self.patch_words.append(cycle)
                            level -= lines
                        level += following - at
                        at = following
                        cycle += 1
                level = -(-level // lines) * lines
        while level:
            self.patch_words.append(cycle)
            level -= lines
            cycle += 1
        self.idle = max(self.idle, cycle)
