"""``p2vit cosim``: simulate the RTL on photos and compare it with the program, layer by layer."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.workflows.compiled import compiled_chunks, compiled_program, is_chunk_machine, reference
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.inputs import OpenProgram, data_name, open_data, open_program
from p2vit.workflows.left_out import say_notes, say_skipped
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import CosimOptions

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource


def run_cosim(
    program: Path | OpenProgram,
    options: CosimOptions | None = None,
    *,
    photos: "PhotoSource | None" = None,
    out: Feedback | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Simulate the RTL on photos, and compare every layer with the program and every store with the timing model.

    Args:
        program: Folder of the program, or a loaded program.
        options: Options; the defaults of `CosimOptions` if None.
        photos: Photos to use instead of ``options.data``.
        out: Receives notes and progress.
        **replaced: Fields of `CosimOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit cosim --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.hdl.cosim.model import MemoryBehaviour
    from p2vit.hdl.top.machine import MEMORY_LATENCY
    from p2vit.program.format import program_sha256

    out = out or Feedback()
    options = changed(CosimOptions, options, replaced)
    latency = options.latency or MEMORY_LATENCY
    opened = open_program(program)
    chunks = is_chunk_machine(options.hardware)
    compiled = (compiled_chunks if chunks else compiled_program)(opened, options.hardware, options.changes)
    if options.predict:
        return prediction(compiled, opened.title, latency, chunks)
    source = open_data(photos or options.data, compiled.program.preprocessing)
    say_notes(source, out)
    executor = reference(compiled.program)
    out.note("compiling the simulation (kept for the next time)")
    began = time.perf_counter()
    cosimulate, model = simulation(compiled.machine, "quick" if options.quick else "fast", chunks)
    built = time.perf_counter()
    behaviour = MemoryBehaviour.random(options.stall, latency, options.seed)
    pixels = (one for batch, _ in source.evaluation(options.images, 1) for one in batch)
    with out.progress() as progress:
        found = cosimulate(
            compiled, model, executor, pixels, behaviour, progress, total=min(options.images, len(source))
        )
    say_skipped(source, out)
    seconds = time.perf_counter() - built
    rows = asdict(found)
    rows["rtl_seconds"] = round(found.rtl_seconds, 1)
    return {
        **rows,
        "against": executor.name,
        "machine": compiled.machine.as_dict(),
        "memory_latency": behaviour.latency,
        "stall": options.stall,
        "utilization": compiled.ideal_cycles / found.cycles,
        "macs": compiled.program.macs,
        "build_seconds": round(built - began, 1),
        "seconds_per_image": round(seconds / max(1, found.images), 1),
        "data": data_name(photos or options.data),
        "program": opened.title,
        "program_sha256": program_sha256(compiled.program),
    }


def simulation(machine: Any, optimization: str, chunks: bool) -> tuple[Callable[..., Any], Any]:
    """Compile the simulation of a machine; return the function that compares it with a program, and the model."""
    if chunks:
        from p2vit.hdl.chunks.cosim.compare import cosimulate_chunks
        from p2vit.hdl.chunks.cosim.model import ChunkModel

        return cosimulate_chunks, ChunkModel(machine, optimization)
    from p2vit.hdl.cosim.compare import cosimulate
    from p2vit.hdl.cosim.model import RtlModel

    return cosimulate, RtlModel(machine, optimization)


def prediction(compiled: Any, title: str, latency: int, chunks: bool) -> dict[str, Any]:
    """Return the cycles that the timing model predicts; simulate nothing."""
    from p2vit.program.format import program_sha256

    machine = compiled.machine
    timing: Any
    if chunks:
        from p2vit.hdl.chunks.cosim.compare import cycles_per_node as cycles_of_chunks
        from p2vit.hdl.chunks.timing import chunk_timing

        timing = chunk_timing(compiled, latency)
        cycles = cycles_of_chunks(compiled, timing.traces)
    else:
        from p2vit.hdl.timing import cycles_per_node, rtl_timing

        timing = rtl_timing(compiled, latency)
        cycles = cycles_per_node(compiled.stores, timing.store_cycles)
    return {
        "predicted": timing.cycles,
        "array_busy": timing.array_busy,
        "layers": [{"name": name, "predicted": number} for name, number in cycles.items()],
        "machine": machine.as_dict(),
        "memory_latency": latency,
        "utilization": compiled.ideal_cycles / timing.cycles,
        "macs": compiled.program.macs,
        "program": title,
        "program_sha256": program_sha256(compiled.program),
    }
