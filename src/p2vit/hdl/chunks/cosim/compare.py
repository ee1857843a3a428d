"""Runs photos through the chunk organisation; compares tensors with the program, and cycles with the timing."""

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from p2vit.accel.load_store.times import cycles_of_operations
from p2vit.engine.executor import Executor
from p2vit.hdl.chunks.compile.compiled import CompiledChunks, Stream
from p2vit.hdl.chunks.cosim.model import ChunkModel, ChunkRun
from p2vit.hdl.chunks.timing import chunk_timing
from p2vit.hdl.cosim.compare import Comparison, LayerComparison, compare_tensors
from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.numerics.rounding import IntArray


def cycles_per_node(compiled: CompiledChunks, cycles: Mapping[Stream, IntArray]) -> dict[str, int]:
    """Attribute the cycles of a run to nodes: node → cycles from the previous node's last word to its own.

    If nodes overlap, a node that ends before an earlier node has 0 cycles.

    Args:
        compiled: Compiled program.
        cycles: Trace → cycle of each word, from the RTL or from the timing.
    """
    ends: dict[str, int] = {}
    at = dict.fromkeys(cycles, 0)
    for part in compiled.parts:
        at[part.stream] += part.beats
        ends[part.node] = max(ends.get(part.node, 0), int(cycles[part.stream][at[part.stream] - 1]))
    for name, (source, _) in compiled.aliases.items():
        ends[name] = ends[source]
    names = [node.name for node in compiled.program.nodes]
    return dict(zip(names, cycles_of_operations(ends[name] for name in names), strict=True))


def cosimulate_chunks(
    compiled: CompiledChunks,
    model: ChunkModel,
    executor: Executor,
    photos: Iterable[IntArray],
    behaviour: MemoryBehaviour | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    total: int = 0,
) -> Comparison:
    """Run photos through the RTL and compare every layer.

    Args:
        compiled: Program, compiled for the model's machine.
        model: Verilated machine.
        executor: Reference, or an executor that was verified against it.
        photos: Photos, each uint8 [H, W, 3].
        behaviour: Latency and stalls of the memory; None means no stalls.
        progress: Called with the stage, the number of photos done and ``total``.
        total: Number of photos, for ``progress``.

    Returns:
        Comparison. ``store_differences`` counts the words that a chunk writes in another cycle than predicted.
    """
    behaviour = behaviour or MemoryBehaviour()
    timing = chunk_timing(compiled, behaviour.latency)
    predicted = cycles_per_node(compiled, timing.traces)
    nodes = compiled.program.nodes
    found = Comparison(
        [LayerComparison(n.name, type(n.operator).__name__, 0, predicted[n.name]) for n in nodes]
    )
    found.predicted = timing.cycles
    for pixels in photos:
        began = time.perf_counter()
        run = model.run(compiled, pixels, behaviour)
        found.rtl_seconds += time.perf_counter() - began
        if not found.images:
            own = cycles_per_node(compiled, run.trace_cycles)
            for layer in found.layers:
                layer.cycles = own[layer.name]
            found.cycles, found.array_busy = run.cycles, run.array_busy
            found.words_read, found.words_written = run.reads, run.writes
        if not behaviour.stalls:
            found.store_differences += sum(
                int(np.count_nonzero(run.trace_cycles[name] != cycles))
                for name, cycles in timing.traces.items()
            ) + (run.cycles != timing.cycles)
        _compare(compiled, executor, pixels, run, found)
        found.images += 1
        if progress:
            progress("photos through the RTL", found.images, total)
    return found


def _compare(
    compiled: CompiledChunks, executor: Executor, pixels: IntArray, run: ChunkRun, found: Comparison
) -> None:
    """Compare every layer of one photo, and the logits in the external memory."""
    program = compiled.program
    wanted = executor.run(pixels[None], keep=[node.name for node in program.nodes])
    tensors = compiled.tensors(run.traces)
    logits = wanted[program.output][0]
    # What the machine wrote to the external memory counts, not what a trace showed.
    tensors[program.output] = run.logits[: logits.size].reshape(logits.shape)
    for layer in found.layers:
        compare_tensors(program, layer, tensors[layer.name], wanted[layer.name][0], found)
