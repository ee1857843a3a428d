"""Exact timing of the accelerator: start and end of every descriptor of a compiled program.

The times are those of the jobs that the descriptors were made from (`p2vit.accel.load_store.times`). They are exact for
a memory that accepts every request and answers after a fixed latency: they are then equal to the RTL, cycle by cycle
(``tests/hdl/test_timing.py``). Memory stalls are not modelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.accel.load_store.times import TimedOrder, cycles_of_operations, timed
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.description import description_of
from p2vit.hdl.top.descriptor import Descriptor, Kind
from p2vit.hdl.top.machine import MEMORY_LATENCY
from p2vit.numerics.rounding import IntArray


@dataclass(frozen=True)
class DescriptorSpan:
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
    spans: tuple[DescriptorSpan, ...]
    store_cycles: IntArray
    array_busy: int


def timed_jobs(compiled: CompiledProgram, latency: int = MEMORY_LATENCY) -> TimedOrder:
    """Time the jobs of a compiled program, in the order of its descriptors."""
    machine = description_of(compiled.machine, compiled.machine.name)
    return timed(machine, list(compiled.jobs), latency)


def rtl_timing(compiled: CompiledProgram, latency: int = MEMORY_LATENCY) -> RtlTiming:
    """Compute the timing of a compiled program.

    Args:
        compiled: Program, compiled for an RTL machine.
        latency: Cycles from a read request to its answer. The memory accepts every request.
    """
    times = timed_jobs(compiled, latency)
    *descriptors, end = compiled.descriptors
    spans = [
        DescriptorSpan(descriptor, span.start, span.end, span.reason)
        for descriptor, span in zip(descriptors, times.spans, strict=True)
    ]
    assert end.kind == Kind.END
    spans.append(DescriptorSpan(end, times.cycles - 1, times.cycles))
    busy = sum(job.work for _, job in compiled.jobs if job.engine == "array")
    return RtlTiming(times.cycles, tuple(spans), np.array(times.stores, np.int64), busy)


def cycles_per_node(stores: Sequence[str], store_cycles: IntArray) -> dict[str, int]:
    """Attribute the cycles of a run to nodes: node → cycles from the previous node's last store to its own.

    If nodes overlap, a node that ends before an earlier node has 0 cycles.

    Args:
        stores: Node of each store.
        store_cycles: Cycle of each store, from the RTL or from the model.
    """
    last = dict(zip(stores, store_cycles.tolist(), strict=True))
    return dict(zip(last, cycles_of_operations(last.values()), strict=True))
