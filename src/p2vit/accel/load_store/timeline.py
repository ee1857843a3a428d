"""Timing of loads, runs and stores on a load–store machine, in one pass over them.

Four engines (load, array, vector, store) take their work in order from queues of their own. Every wait is for an event
that comes earlier in the order. So one pass gives every cycle, without an event queue. The timing is exact for a
memory that accepts every request and answers after a fixed latency.

The chunk model uses it for jobs that are made from the shapes of a model. `p2vit.hdl.timing` uses it for the
descriptors of the generated accelerator, and tests compare that with the RTL at every store.
"""

from collections import deque
from collections.abc import Iterable
from typing import Literal

Engine = Literal["array", "vector"]
Queue = Literal["load", "array", "vector", "store"]

QUEUES: tuple[Queue, ...] = ("load", "array", "vector", "store")
#: Buffers that loads fill and runs take and release.
BUFFERS = ("rows", "weights", "column_parameters", "vector", "vector_parameters", "table")
#: Buffers of these that have only one slot, because their contents serve many runs.
SINGLE = ("table",)
#: Cycles from the last read of an output buffer to the store counter: buffer, queue, memory, counter.
STORE_LATENCY = 3


class _Slots:
    """Cycles at which the slots of a buffer become free and full."""

    def __init__(self, slots: int) -> None:
        self.free: deque[int] = deque([0] * slots)
        self.full: deque[int] = deque()


class EngineTimeline:
    """State of the engines, buffers and queues between two actions.

    Args:
        slots: Slots of every buffer.
        queue_depth: Entries of the queue in front of each engine.
        in_flight: Loads that may be outstanding.
        latency: Cycles from a read request to its answer.

    Attributes:
        idle: Cycle in which each engine can take its next action.
        reason: Reason why the last run began so late; empty if its engine was busy until then.
    """

    def __init__(self, *, slots: int, queue_depth: int, in_flight: int, latency: int) -> None:
        self.latency, self.queue_depth, self.in_flight = latency, queue_depth, in_flight
        self.buffers = {name: _Slots(1 if name in SINGLE else slots) for name in BUFFERS}
        self.outputs: dict[Engine, _Slots] = {"array": _Slots(slots), "vector": _Slots(slots)}
        self.begun: dict[Queue, deque[int]] = {queue: deque(maxlen=queue_depth) for queue in QUEUES}
        self.flights: deque[int] = deque(maxlen=in_flight)
        self.idle: dict[Queue, int] = dict.fromkeys(QUEUES, 0)
        self.dispatched = 0
        self.reason = ""

    def visible(self, queue: Queue) -> int:
        """Dispatch the next action; return the cycle at which its engine sees it."""
        begun = self.begun[queue]
        room = begun[0] + 1 if len(begun) == self.queue_depth else 0
        self.dispatched = max(self.dispatched + 1, room)
        return self.dispatched + 1

    def load(
        self, words: int, buffer: str, *, opens: bool, closes: bool, gather: bool = False, after: int = 0
    ) -> tuple[int, int]:
        """Time a load.

        Args:
            words: Cycles of the memory port.
            buffer: Buffer that is loaded. A buffer that is not in ``BUFFERS`` always has room.
            opens: Whether the load waits for a free slot and takes it.
            closes: Whether the slot is full after the last word.
            gather: Whether the load begins only when no other load is outstanding.
            after: First cycle at which the data is written.

        Returns:
            First cycle, and the cycle in which the last word is in the buffer.
        """
        start = max(self.visible("load"), self.idle["load"], after)
        if opens:
            start = max(start, self.buffers[buffer].free.popleft())
        if len(self.flights) == self.in_flight:
            start = max(start, self.flights[0] + 1)
        if gather and self.flights:
            start = max(start, self.flights[-1] + 1)
        self.idle["load"] = start + words + 1
        end = start + words + self.latency + 1
        self.flights.append(end)
        if closes:
            self.buffers[buffer].full.append(end + 1)
        self.begun["load"].append(start)
        return start, end

    def run(
        self, engine: Engine, cycles: int, takes: Iterable[str], releases: Iterable[str], emits: bool = True
    ) -> tuple[int, int]:
        """Time a run of the array or the vector engine.

        Args:
            engine: Engine.
            cycles: Cycles from issue to completion.
            takes: Buffers that must be full before the run.
            releases: Buffers that have a free slot after the run.
            emits: Whether the run waits for an output buffer and fills it.

        Returns:
            First and last cycle.
        """
        start, self.reason = self.idle[engine], ""
        if (seen := self.visible(engine)) > start:
            start, self.reason = seen, "descriptors: not there yet"
        for name in takes:
            if (full := self.buffers[name].full.popleft()) > start:
                start, self.reason = full, f"load: {name.replace('_', ' ')} not there yet"
        output = self.outputs[engine]
        if emits and (free := output.free.popleft()) > start:
            start, self.reason = free, "store: output buffers full"
        end = start + cycles
        self.idle[engine] = end + 1
        for name in releases:
            self.buffers[name].free.append(end + 1)
        if emits:
            output.full.append(end + 1)
        self.begun[engine].append(start)
        return start, end

    def store(self, engine: Engine, words: int) -> tuple[int, int]:
        """Time a store of an output buffer.

        Returns:
            First cycle, and the cycle at which the store counts as done, so that a load may read its data.
        """
        output = self.outputs[engine]
        start = max(self.visible("store"), self.idle["store"], output.full.popleft())
        self.idle["store"] = start + words + 1
        done = start + words + STORE_LATENCY
        output.free.append(done)
        self.begun["store"].append(start)
        return start, done

    def end(self, after: int) -> int:
        """Return the cycle in which all work is done; ``after`` is the cycle of the last store."""
        return max(self.visible("load"), self.idle["load"], after) + 1
