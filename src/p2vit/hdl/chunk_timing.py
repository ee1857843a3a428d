"""Converts the exact RTL timing to the record of the chunk model, for the same reports and traces."""

from collections import defaultdict

from p2vit.accel.chunks.costs import CHUNKS, DRAM
from p2vit.accel.chunks.dataflow import Schedule
from p2vit.accel.timing import Tile, Timing
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.timing import Span, cycles_per_node, load_words, rtl_timing
from p2vit.hdl.top.descriptor import Kind, VectorOp

_CHUNK_OF_OPERATION = {VectorOp.LAYERNORM: "layernorm", VectorOp.SOFTMAX: "softmax", VectorOp.LOOKUP: "gelu"}


def chunk_timing(compiled: CompiledProgram, plan: Schedule) -> Timing:
    """Compute the cycles of a compiled program, attributed to the operations of a schedule of that program.

    Args:
        compiled: Program, compiled for an RTL machine.
        plan: Schedule of the same program; its operations have the names of the nodes.

    Returns:
        Timing with a tile for every run of an engine. Busy and stalled cycles of each chunk add up to the run.
    """
    timing = rtl_timing(compiled.descriptors, compiled.machine)
    places = {
        op.name: (section, index)
        for section, operations in enumerate(plan.operations)
        for index, op in enumerate(operations)
    }
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    free = dict.fromkeys(CHUNKS, 0)
    tiles = []
    for span in timing.spans:
        kind = span.descriptor.kind
        if kind == Kind.LOAD:
            busy[DRAM] += load_words(span.descriptor)
        if kind not in (Kind.ARRAY, Kind.VECTOR):
            continue
        chunk = chunk_of(span)
        waited = span.start - free[chunk]
        reason = (span.waited_for or "its engine: other work") if waited else ""
        if waited:
            stalls[chunk][reason] += waited
        free[chunk] = span.end + 1
        busy[chunk] += span.end + 1 - span.start
        place = places[span.descriptor.node]
        tiles.append(Tile(chunk, *place, span.start, span.end + 1, waited, reason))
    for chunk in CHUNKS:
        if rest := timing.cycles - free[chunk]:
            stalls[chunk]["finished: nothing left to do"] += rest
    own = cycles_per_node(compiled.stores, timing.store_cycles)
    per_section = [[float(own[op.name]) for op in operations] for operations in plan.operations]
    per_section[-1][-1] += timing.cycles - sum(own.values())
    return Timing(
        timing.cycles,
        dict(busy),
        {chunk: dict(reasons) for chunk, reasons in stalls.items()},
        tuple(tuple(section) for section in per_section),
        tiles=tuple(sorted(tiles, key=lambda tile: (tile.start, tile.chunk))),
    )


def chunk_of(span: Span) -> str:
    """Return the chunk that a run corresponds to in the chunk model."""
    d = span.descriptor
    if d.kind == Kind.ARRAY:
        return "shifter_array" if d["log2"] else "mac_array"
    return _CHUNK_OF_OPERATION.get(VectorOp(d["op"]), "elementwise")
