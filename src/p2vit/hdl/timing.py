"""Exact timing model of the accelerator: start and end of every descriptor of a stream.

The model uses only the descriptors: how long each one takes, and which buffers it takes and releases. The rules by
    which engines wait for each other are in `p2vit.accel.load_store.timeline`, which the chunk model shares. The model
    is exact for a memory that accepts every request and answers after a fixed latency: it is then equal to the RTL,
    cycle by cycle (``tests/hdl/test_timing.py``). It does not model memory stalls.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.accel.load_store.timeline import Engine, EngineTimeline
from p2vit.hdl.top.descriptor import Descriptor, Dest, Kind, Mode, Source, VectorOp
from p2vit.hdl.top.machine import (
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
from p2vit.numerics.rounding import IntArray


@dataclass(frozen=True)
class Span:
    """Time of one descriptor on its engine.

    Attributes:
        descriptor: Descriptor.
        start: Cycle in which the engine takes the descriptor.
        end: Last cycle. For a load, the last word is then in the buffer; for a store, in the memory.
        waited_for: Reason why a run began so late; empty if its engine was busy until then.
    """

    descriptor: Descriptor
    start: int
    end: int
    waited_for: str = ""


@dataclass(frozen=True, eq=False)
class RtlTiming:
    """Timing of one photo.

    Attributes:
        cycles: Cycles from the first descriptor to ``done``.
        spans: Times of the descriptors, in the order of the stream.
        store_cycles: Cycle at which each store counts as done, int64 [stores].
        array_busy: Cycles in which the array multiplies.
    """

    cycles: int
    spans: tuple[Span, ...]
    store_cycles: IntArray
    array_busy: int


def array_cycles(descriptor: Descriptor) -> int:
    """Return the engine cycles of an array run, from issue to completion."""
    divide = DIVIDE_CYCLES + 1 if descriptor["mode"] == Mode.QUOTIENT else 0
    return divide + descriptor["columns"] * descriptor["chunks"] + ARRAY_DRAIN


def vector_cycles(descriptor: Descriptor, lines: int) -> int:
    """Return the engine cycles of a vector run, from issue to completion."""
    one_pass = descriptor["count"] + VECTOR_DRAIN
    if descriptor["op"] == VectorOp.LAYERNORM:
        return 3 * one_pass + SHIFT_STEPS + TOTAL_STEPS + lines + 1
    if descriptor["op"] == VectorOp.SOFTMAX:
        return 2 * one_pass + SUM_BYTES
    return one_pass


def load_words(descriptor: Descriptor) -> int:
    """Return the number of memory requests of a load."""
    each = descriptor["line_end"] - descriptor["line_first"] if descriptor["gather"] else 1
    return descriptor["inner"] * descriptor["outer"] * each


#: Buffers that a run takes and releases, by field of the descriptor.
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
_BUFFERS = {dest: dest.name.lower() for dest in Dest} | {Dest.LINE_PARAMETERS: Dest.ROWS.name.lower()}
_ENGINES: dict[int, Engine] = {Source.ARRAY: "array", Source.VECTOR: "vector"}


def _load(timeline: EngineTimeline, d: Descriptor, stores: Sequence[int]) -> tuple[int, int]:
    return timeline.load(
        load_words(d),
        _BUFFERS[Dest(d["dest"])],
        opens=bool(d["open"]),
        closes=bool(d["close"]),
        gather=bool(d["gather"]),
        after=stores[d["after"] - 1] if d["after"] else 0,
    )


def _run(timeline: EngineTimeline, d: Descriptor, lines: int) -> tuple[int, int]:
    array = d.kind == Kind.ARRAY
    takes, releases = _ARRAY if array else _VECTOR
    return timeline.run(
        "array" if array else "vector",
        array_cycles(d) if array else vector_cycles(d, lines),
        [_BUFFERS[dest] for name, dest in takes.items() if d[name]],
        [_BUFFERS[dest] for name, dest in releases.items() if d[name]],
        array or bool(d["emit"]),
    )


def rtl_timing(
    descriptors: Sequence[Descriptor], machine: RtlMachine, latency: int = MEMORY_LATENCY
) -> RtlTiming:
    """Compute the timing of a descriptor stream.

    Args:
        descriptors: Descriptors in order; the last one is END.
        machine: RTL machine that executes them.
        latency: Cycles from a read request to its answer. The memory accepts every request.
    """
    timeline = EngineTimeline(slots=SLOTS, queue_depth=QUEUE_DEPTH, in_flight=IN_FLIGHT, latency=latency)
    spans: list[Span] = []
    stores: list[int] = []
    cycles = 0
    for d in descriptors:
        match d.kind:
            case Kind.LOAD:
                start, end = _load(timeline, d, stores)
            case Kind.ARRAY | Kind.VECTOR:
                start, end = _run(timeline, d, machine.lines)
            case Kind.STORE:
                start, done = timeline.store(_ENGINES[d["source"]], d["columns"] * d["planes"])
                stores.append(done)
                end = done - 1
            case _:
                cycles = end = timeline.end(stores[d["after"] - 1])
                start = end - 1
        spans.append(Span(d, start, end, timeline.reason if d.kind in (Kind.ARRAY, Kind.VECTOR) else ""))
    busy = sum(d["columns"] * d["chunks"] for d in descriptors if d.kind == Kind.ARRAY)
    return RtlTiming(cycles, tuple(spans), np.array(stores, np.int64), busy)


def cycles_per_node(stores: Sequence[str], store_cycles: IntArray) -> dict[str, int]:
    """Attribute the cycles of a run to nodes: node → cycles from the previous node's last store to its own.

    If nodes overlap, a node that ends before an earlier node has 0 cycles.

    Args:
        stores: Node of each store.
        store_cycles: Cycle of each store, from the RTL or from the model.
    """
    last: dict[str, int] = {}
    for node, cycle in zip(stores, store_cycles.tolist(), strict=True):
        last[node] = cycle
    cycles, before = {}, 0
    for node, cycle in last.items():
        cycles[node] = max(0, cycle - before)
        before = max(before, cycle)
    return cycles
