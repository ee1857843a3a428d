"""Photos through the RTL, every layer against the program, and cycles beside those of the timing model."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.numerics.rounding import IntArray
from p2vit.rtl.compile.compiled import CompiledProgram
from p2vit.rtl.cosim.model import MemoryBehaviour, RtlModel, RtlRun
from p2vit.rtl.timing import cycles_per_node, rtl_timing


@dataclass
class LayerComparison:
    """One layer over all photos.

    Attributes:
        name: Node of the program.
        operator: Its kind.
        cycles: Of the RTL, from the end of the layer before to its end; of the first photo.
        predicted: Of the timing model.
        mismatches: Numbers that differ, all photos.
    """

    name: str
    operator: str
    cycles: int
    predicted: int
    mismatches: int = 0


@dataclass
class Comparison:
    """What a co-simulation found.

    Attributes:
        layers: In program order.
        images: Photos run.
        cycles: Of the first photo.
        predicted: Of the timing model; the same for every photo.
        store_differences: Stores whose cycle is not the predicted one, all photos; counted where nothing stalls.
        tensors_compared: Layers times photos.
        values_compared: Numbers.
        first_mismatches: Where layers differ, ten at most.
        array_busy: Cycles in which the array multiplied, first photo.
        words_read: From the external memory, first photo.
        words_written: To it.
        logits_equal: Every logit of every photo.
        mismatches: Tensors that differ in at least one number, all photos.
        rtl_seconds: Wall time of the simulation alone, all photos.
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
    """Run photos and compare.

    Args:
        compiled: For the model's machine.
        model: The Verilated accelerator.
        executor: Whose integers are right: the reference, or one that is verified against it.
        photos: uint8 [H, W, 3] each.
        behaviour: Of the memory.
        progress: Called with (stage, done, total).
        total: Photos, for the progress.
    """
    behaviour = behaviour or MemoryBehaviour()
    stalls = behaviour.stalls
    timing = rtl_timing(compiled.descriptors, compiled.machine, behaviour.latency)
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
    """Every layer of one photo."""
    program = compiled.program
    wanted = executor.run(pixels[None], keep=[node.name for node in program.nodes])
    for layer in found.layers:
        got, want = compiled.tensor(run.memory, layer.name), wanted[layer.name][0]
        found.tensors_compared += 1
        found.values_compared += got.size
        differing = np.argwhere(got != want)
        if not len(differing):
            continue
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
