"""Runs photos through the RTL and compares every layer with the program, and cycles with the timing model."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.cosim.model import MemoryBehaviour, RtlModel, RtlRun
from p2vit.hdl.timing import cycles_per_node, rtl_timing
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram


@dataclass
class LayerComparison:
    """Comparison of one layer over all photos.

    Attributes:
        name: Name of the node.
        operator: Class of the operator.
        cycles: RTL cycles from the end of the previous layer to the end of this one, for the first photo.
        predicted: Cycles of the timing model.
        mismatches: Number of values that differ, over all photos.
    """

    name: str
    operator: str
    cycles: int
    predicted: int
    mismatches: int = 0


@dataclass
class Comparison:
    """Result of a co-simulation.

    Attributes:
        layers: Layers in program order.
        images: Number of photos.
        cycles: RTL cycles of the first photo.
        predicted: Cycles of the timing model; the same for every photo.
        store_differences: Number of stores that are done in another cycle than predicted, over all photos. Counted
            only if the memory never stalls.
        tensors_compared: Number of layers times number of photos.
        values_compared: Number of compared values.
        first_mismatches: First difference of up to ten differing tensors.
        array_busy: Cycles in which the array multiplied, for the first photo.
        words_read: Words read from external memory, for the first photo.
        words_written: Words written to external memory, for the first photo.
        logits_equal: Whether all logits of all photos are equal.
        mismatches: Number of tensors that differ in at least one value, over all photos.
        rtl_seconds: Wall-clock seconds of the RTL simulation alone, over all photos.
    """

    layers: list[LayerComparison]
    images: int = 0
    cycles: int = 0
    predicted: int = 0
    store_differences: int = 0
    tensors_compared: int = 0
    values_compared: int = 0
    first_mismatches: list[dict[str, Any]] = field(default_factory=list)
    array_busy: int = 0
    words_read: int = 0
    words_written: int = 0
    logits_equal: bool = True
    mismatches: int = 0
    rtl_seconds: float = 0.0


def cosimulate(
    compiled: CompiledProgram,
    model: RtlModel,
    executor: Executor,
    photos: Iterable[IntArray],
    behaviour: MemoryBehaviour | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    total: int = 0,
) -> Comparison:
    """Run photos through the RTL and compare every layer.

    Args:
        compiled: Program, compiled for the model's machine.
        model: Verilated accelerator.
        executor: Reference, or an executor that was verified against it.
        photos: Photos, each uint8 [H, W, 3].
        behaviour: Latency and stalls of the memory; None means no stalls.
        progress: Called with the stage, the number of photos done and ``total``.
        total: Number of photos, for ``progress``.
    """
    behaviour = behaviour or MemoryBehaviour()
    stalls = behaviour.stalls
    timing = rtl_timing(compiled, behaviour.latency)
    predicted = cycles_per_node(compiled.stores, timing.store_cycles)
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
            own = cycles_per_node(compiled.stores, run.store_cycles)
            for layer in found.layers:
                layer.cycles = own[layer.name]
            found.cycles, found.array_busy = run.cycles, run.array_busy
            found.words_read, found.words_written = run.reads, run.writes
        if not stalls:
            found.store_differences += int(np.count_nonzero(run.store_cycles != timing.store_cycles))
        _compare(compiled, executor, pixels, run, found)
        found.images += 1
        if progress:
            progress("photos through the RTL", found.images, total)
    return found


def _compare(
    compiled: CompiledProgram, executor: Executor, pixels: IntArray, run: RtlRun, found: Comparison
) -> None:
    """Compare every layer of one photo."""
    program = compiled.program
    wanted = executor.run(pixels[None], keep=[node.name for node in program.nodes])
    for layer in found.layers:
        compare_tensors(program, layer, compiled.tensor(run.memory, layer.name), wanted[layer.name][0], found)


def compare_tensors(
    program: IntegerProgram, layer: LayerComparison, got: IntArray, want: IntArray, found: Comparison
) -> None:
    """Compare one tensor of the current photo and record the result.

    Args:
        program: Integer program.
        layer: Layer of the tensor.
        got: Tensor of the RTL.
        want: Tensor of the program.
        found: Comparison to add to.
    """
    found.tensors_compared += 1
    found.values_compared += got.size
    differing = np.argwhere(got != want)
    if not len(differing):
        return
    found.mismatches += 1
    layer.mismatches += len(differing)
    if layer.name == program.output:
        found.logits_equal = False
    if len(found.first_mismatches) < 10:
        at = tuple(differing[0])
        found.first_mismatches.append(
            {
                "tensor": layer.name,
                "image": found.images,
                "index": [int(i) for i in at],
                "actual": int(got[at]),
                "expected": int(want[at]),
                "differing": len(differing),
            }
        )
