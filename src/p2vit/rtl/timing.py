"""When every descriptor of a stream starts and ends: an exact model of the accelerator's timing.

It knows no values, only descriptors: each engine takes its queue in order, and every rule by which one waits for
another is a maximum over earlier events. All of them are earlier in program order, so one walk over the stream gives
every cycle. It holds for a memory that refuses nothing and answers after a fixed time; then it is equal to
the RTL, cycle by cycle (``tests/rtl/test_timing.py``). What a stall of the memory costs, only the RTL says.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.numerics.rounding import IntArray
from p2vit.rtl.top.descriptor import Descriptor, Dest, Kind, Mode, Source, VectorOp
from p2vit.rtl.top.machine import (
    ARRAY_DRAIN,
    DIVIDE_CYCLES,
    IN_FLIGHT,
    MEMORY_LATENCY,
    QUEUE_DEPTH,
    SHIFT_STEPS,
    SLOTS,
    SUM_BYTES,
    TOTAL_STEPS,
    VECTOR_DRAIN,
    RtlMachine,
)

#: From the last read of an output buffer to the count of done stores: buffer, queue, memory, counter.
STORE_LATENCY = 3


@dataclass(frozen=True)
class Span:
    """One descriptor's time on its engine.

    Attributes:
        descriptor: Which.
        start: Cycle in which the engine takes it.
        end: Last cycle: of a load, its last word is in the buffer; of a store, the memory has its last word.
        waited_for: What a run of an engine began as late as it did for; empty where its engine was busy until then.
    """

    descriptor: Descriptor
    start: int
    end: int
    waited_for: str = ""


@dataclass(frozen=True, eq=False)
class RtlTiming:
    """Timing of one photo.

    Attributes:
        cycles: From the first descriptor to ``done``.
        spans: In program order.
        store_cycles: Cycle at which each store counts as done.
        array_busy: Cycles in which the array multiplies.
    """

    cycles: int
    spans: tuple[Span, ...]
    store_cycles: IntArray
    array_busy: int


def array_cycles(descriptor: Descriptor) -> int:
    """From the cycle an array run is taken to its last."""
    divide = DIVIDE_CYCLES + 1 if descriptor["mode"] == Mode.QUOTIENT else 0
    return divide + descriptor["columns"] * descriptor["chunks"] + ARRAY_DRAIN


def vector_cycles(descriptor: Descriptor, lines: int) -> int:
    """From the cycle a vector run is taken to its last."""
    one_pass = descriptor["count"] + VECTOR_DRAIN
    if descriptor["op"] == VectorOp.LAYERNORM:
        return 3 * one_pass + SHIFT_STEPS + TOTAL_STEPS + lines + 1
    if descriptor["op"] == VectorOp.SOFTMAX:
        return 2 * one_pass + SUM_BYTES
    return one_pass


def load_words(descriptor: Descriptor) -> int:
    """Requests of a load."""
    each = descriptor["line_end"] - descriptor["line_first"] if descriptor["gather"] else 1
    return descriptor["inner"] * descriptor["outer"] * each


class _Slots:
    """Buffer slots: when one is free again, when one is full."""

    def __init__(self, slots: int) -> None:
        self.free: deque[int] = deque([0] * slots)
        self.full: deque[int] = deque()


class _Walk:
    def __init__(self, machine: RtlMachine, latency: int) -> None:
        self.machine, self.latency = machine, latency
        self.slots = {dest: _Slots(1 if dest == Dest.TABLE else SLOTS) for dest in Dest}
        self.outputs = {source: _Slots(SLOTS) for source in Source}
        self.pops: dict[Kind, deque[int]] = defaultdict(lambda: deque(maxlen=QUEUE_DEPTH))
        self.flights: deque[int] = deque(maxlen=IN_FLIGHT)
        self.idle = dict.fromkeys(Kind, 0)
        self.stores: list[int] = []
        self.dispatched = 0
        self.reason = ""

    def visible(self, queue: Kind) -> int:
        """Dispatch the next descriptor; returns the cycle at which its engine sees it."""
        pops = self.pops[queue]
        room = pops[0] + 1 if len(pops) == QUEUE_DEPTH else 0
        self.dispatched = max(self.dispatched + 1, room)
        return self.dispatched + 1

    def load(self, d: Descriptor) -> tuple[int, int]:
        start = max(self.visible(Kind.LOAD), self.idle[Kind.LOAD])
        if d["after"]:
            start = max(start, self.stores[d["after"] - 1])
        dest = Dest(d["dest"])
        slot = Dest.ROWS if dest == Dest.LINE_PARAMETERS else dest
        if d["open"]:
            start = max(start, self.slots[slot].free.popleft())
        if len(self.flights) == IN_FLIGHT:
            start = max(start, self.flights[0] + 1)
        if d["gather"] and self.flights:
            start = max(start, self.flights[-1] + 1)
        words = load_words(d)
        self.idle[Kind.LOAD] = start + words + 1
        end = start + words + self.latency + 1
        self.flights.append(end)
        if d["close"]:
            self.slots[slot].full.append(end + 1)
        self.pops[Kind.LOAD].append(start)
        return start, end

    def run(
        self, d: Descriptor, kind: Kind, takes: dict[str, Dest], releases: dict[str, Dest]
    ) -> tuple[int, int]:
        """A run of the array or of the vector chunk: it waits for what it takes and for room to put its results."""
        start, self.reason = self.idle[kind], ""
        if (seen := self.visible(kind)) > start:
            start, self.reason = seen, "descriptors: not there yet"
        for name, dest in takes.items():
            if d[name] and (full := self.slots[dest].full.popleft()) > start:
                start, self.reason = full, f"load: {dest.name.lower().replace('_', ' ')} not there yet"
        emits = kind == Kind.ARRAY or d["emit"]
        output = self.outputs[Source.ARRAY if kind == Kind.ARRAY else Source.VECTOR]
        if emits and (free := output.free.popleft()) > start:
            start, self.reason = free, "store: output buffers full"
        lasts = array_cycles(d) if kind == Kind.ARRAY else vector_cycles(d, self.machine.lines)
        end = start + lasts
        self.idle[kind] = end + 1
        for name, dest in releases.items():
            if d[name]:
                self.slots[dest].free.append(end + 1)
        if emits:
            output.full.append(end + 1)
        self.pops[kind].append(start)
        return start, end

    def store(self, d: Descriptor) -> tuple[int, int]:
        output = self.outputs[Source(d["source"])]
        start = max(self.visible(Kind.STORE), self.idle[Kind.STORE], output.full.popleft())
        words = d["columns"] * d["planes"]
        self.idle[Kind.STORE] = start + words + 1
        done = start + words + STORE_LATENCY
        self.stores.append(done)
        output.free.append(done)
        self.pops[Kind.STORE].append(start)
        return start, done - 1


_ARRAY = (
    {"take_rows": Dest.ROWS, "take_weights": Dest.WEIGHTS, "take_parameters": Dest.COLUMN_PARAMETERS},
    {
        "release_rows": Dest.ROWS,
        "release_weights": Dest.WEIGHTS,
        "release_parameters": Dest.COLUMN_PARAMETERS,
    },
)
_VECTOR = (
    {"take": Dest.VECTOR, "take_parameters": Dest.VECTOR_PARAMETERS},
    {"release": Dest.VECTOR, "release_parameters": Dest.VECTOR_PARAMETERS, "release_table": Dest.TABLE},
)


def rtl_timing(
    descriptors: Sequence[Descriptor], machine: RtlMachine, latency: int = MEMORY_LATENCY
) -> RtlTiming:
    """Walk a descriptor stream.

    Args:
        descriptors: In order, END last.
        machine: Which executes them.
        latency: Cycles from a read request to its answer; nothing is refused.
    """
    walk = _Walk(machine, latency)
    spans, cycles = [], 0
    for d in descriptors:
        match d.kind:
            case Kind.LOAD:
                start, end = walk.load(d)
            case Kind.ARRAY | Kind.VECTOR:
                start, end = walk.run(d, d.kind, *(_ARRAY if d.kind == Kind.ARRAY else _VECTOR))
            case Kind.STORE:
                start, end = walk.store(d)
            case _:
                start = max(walk.visible(Kind.LOAD), walk.idle[Kind.LOAD], walk.stores[d["after"] - 1])
                end = cycles = start + 1
        spans.append(Span(d, start, end, walk.reason if d.kind in (Kind.ARRAY, Kind.VECTOR) else ""))
    busy = sum(d["columns"] * d["chunks"] for d in descriptors if d.kind == Kind.ARRAY)
    return RtlTiming(cycles, tuple(spans), np.array(walk.stores, np.int64), busy)


def cycles_per_node(stores: Sequence[str], store_cycles: IntArray) -> dict[str, int]:
    """Cut a run at the last store of each node: node → cycles since the node before it.

    Where nodes overlap, a node that ends before an earlier one has none of its own.

    Args:
        stores: Of every store, the node it belongs to.
        store_cycles: Of the RTL, or of the model.
    """
    last: dict[str, int] = {}
    for node, cycle in zip(stores, store_cycles.tolist(), strict=True):
        last[node] = cycle
    cycles, before = {}, 0
    for node, cycle in last.items():
        cycles[node] = max(0, cycle - before)
        before = max(before, cycle)
    return cycles
