"""When every descriptor of a stream starts and ends: an exact model of the accelerator's timing.

It knows no values, only descriptors: how long each lasts, which buffers it takes and releases. How engines wait for
each other is in `p2vit.accel.load_store.timeline`, which the chunk model shares. It holds for a memory that refuses
nothing and answers after a fixed time; then it is equal to the RTL, cycle by cycle (``tests/rtl/test_timing.py``).
What a stall of the memory costs, only the RTL says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.accel.load_store.timeline import Engine, EngineTimeline
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


#: Buffers that a run takes and releases, by the descriptor's fields.
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
    """EngineTimeline a descriptor stream.

    Args:
        descriptors: In order, END last.
        machine: Which executes them.
        latency: Cycles from a read request to its answer; nothing is refused.
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
