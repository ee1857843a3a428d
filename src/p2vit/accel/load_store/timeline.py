"""When loads, runs and stores of a load–store machine begin and end: one walk over them, no heap.

Four engines (load, array, vector, store) take their work in order from queues of their own. Every rule by which
one waits for another is a maximum over events that stand earlier in the same order, so a single walk gives
every cycle. It holds for a memory that refuses nothing and answers after a fixed time.

The chunk model walks what it made from a model's shapes; `p2vit.rtl.timing` walks the descriptors of the generated
accelerator, and tests hold it to the RTL at every store.
"""

from collections import deque
from collections.abc import Iterable
from typing import Literal

Engine = Literal["array", "vector"]
Queue = Literal["load", "array", "vector", "store"]

QUEUES: tuple[Queue, ...] = ("load", "array", "vector", "store")
#: Buffers that a load fills and a run takes and releases.
BUFFERS = ("rows", "weights", "column_parameters", "vector", "vector_parameters", "table")
#: Of these, those with one slot whatever the machine: what stands there serves many runs.
SINGLE = ("table",)
#: From the last read of an output buffer to the count of done stores: buffer, queue, memory, counter.
STORE_LATENCY = 3


class _Slots:
    """Buffer slots: when one is free again, when one is full."""

    def __init__(self, slots: int) -> None:
        self.free: deque[int] = deque([0] * slots)
        self.full: deque[int] = deque()


class EngineTimeline:
    """State of the engines between two actions.

    Args:
        slots: Slots of every buffer.
        queue_depth: Actions that wait in front of each engine.
        in_flight: Loads whose answers may be outstanding.
        latency: Cycles from a read request to its answer.

    Attributes:
        idle: Cycle in which each engine can take its next action.
        reason: What the last run began as late as it did for; empty where its engine was busy until then.
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
        """Dispatch the next action; returns the cycle at which its engine sees it."""
        begun = self.begun[queue]
        room = begun[0] + 1 if len(begun) == self.queue_depth else 0
        self.dispatched = max(self.dispatched + 1, room)
        return self.dispatched + 1

    def load(
        self, words: int, buffer: str, *, opens: bool, closes: bool, gather: bool = False, after: int = 0
    ) -> tuple[int, int]:
        """A load.

        Args:
            words: Cycles of the memory's port.
            buffer: Where they go; what is not one of ``BUFFERS`` always has room.
            opens: Takes a free slot.
            closes: The slot is full with its last word.
            gather: Begins only when nothing is outstanding.
            after: Cycle before which what it reads is not written.

        Returns:
            First cycle; cycle in which its last word is in the buffer.
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
        """A run of the array or of the vector engine.

        Args:
            engine: Which.
            cycles: From the cycle it is taken to its last.
            takes: Buffers that it waits for until they are full.
            releases: Buffers that have a slot free after it.
            emits: Whether it fills an output buffer, which it waits for too.

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
        """A store of an output buffer.

        Returns:
            First cycle; cycle at which it counts as done, so that a load may read what it wrote.
        """
        output = self.outputs[engine]
        start = max(self.visible("store"), self.idle["store"], output.full.popleft())
        self.idle["store"] = start + words + 1
        done = start + words + STORE_LATENCY
        output.free.append(done)
        self.begun["store"].append(start)
        return start, done

    def end(self, after: int) -> int:
        """The last action: cycle in which all is done, ``after`` being the last store's."""
        return max(self.visible("load"), self.idle["load"], after) + 1
