"""``p2vit cosim``: photos through the RTL, every layer against the program, cycles beside the model's."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from p2vit.workflows.compiled import compiled_program, reference
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.left_out import say_notes, say_skipped


def run_cosim(
    program: Path,
    *,
    hardware: str = "rtl",
    changes: tuple[str, ...] = (),
    images: int = 1,
    data: str = "noise",
    latency: int | None = None,
    stall: float = 0.0,
    seed: int = 0,
    quick: bool = False,
    predict: bool = False,
    out: Feedback | None = None,
) -> dict[str, Any]:
    """Co-simulate.

    Args:
        program: Folder of an integer program.
        hardware: Name of an RTL machine.
        changes: ``key=number``.
        images: Photos.
        data: A folder or a benchmark's name.
        latency: Cycles from a read request to its answer.
        stall: Share of cycles in which each side of the memory and the descriptors stand.
        seed: Of the stalls.
        predict: Only the timing model: no photo, no simulation, no tool needed.
        quick: Compile with less optimisation: for a photo of a small model.
        out: Where progress goes.

    Returns:
        The keys of ``p2vit cosim --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.program.format import program_sha256
    from p2vit.rtl.cosim.compare import cosimulate
    from p2vit.rtl.cosim.model import MemoryBehaviour, RtlModel
    from p2vit.rtl.top.machine import MEMORY_LATENCY

    out = out or Feedback()
    compiled = compiled_program(program, hardware, changes)
    if predict:
        return prediction(compiled, program, latency or MEMORY_LATENCY)
    photos = open_photos(data, compiled.program.preprocessing)
    say_notes(photos, out)
    executor = reference(compiled.program)
    out.note("compiling the simulation (kept for the next time)")
    began = time.perf_counter()
    model = RtlModel(compiled.machine, "quick" if quick else "fast")
    built = time.perf_counter()
    behaviour = MemoryBehaviour.random(stall, latency or MEMORY_LATENCY, seed)
    pixels = (one for batch, _ in photos.evaluation(images, 1) for one in batch)
    with out.progress() as progress:
        found = cosimulate(
            compiled, model, executor, pixels, behaviour, progress, total=min(images, len(photos))
        )
    say_skipped(photos, out)
    seconds = time.perf_counter() - built
    rows = asdict(found)
    rows["rtl_seconds"] = round(found.rtl_seconds, 1)
    ideal = compiled.program.macs / (compiled.machine.lines * compiled.machine.lanes)
    return {
        **rows,
        "against": executor.name,
        "machine": compiled.machine.as_dict(),
        "memory_latency": behaviour.latency,
        "stall": stall,
        "utilization": ideal / found.cycles,
        "macs": compiled.program.macs,
        "build_seconds": round(built - began, 1),
        "seconds_per_image": round(seconds / max(1, found.images), 1),
        "data": data,
        "program": str(program),
        "program_sha256": program_sha256(compiled.program),
    }


def prediction(compiled: Any, program: Path, latency: int) -> dict[str, Any]:
    """Cycles by the timing model alone."""
    from p2vit.program.format import program_sha256
    from p2vit.rtl.timing import cycles_per_node, rtl_timing

    machine = compiled.machine
    timing = rtl_timing(compiled.descriptors, machine, latency)
    cycles = cycles_per_node(compiled.stores, timing.store_cycles)
    return {
        "predicted": timing.cycles,
        "array_busy": timing.array_busy,
        "layers": [{"name": name, "predicted": number} for name, number in cycles.items()],
        "machine": machine.as_dict(),
        "memory_latency": latency,
        "utilization": compiled.program.macs / (machine.lines * machine.lanes) / timing.cycles,
        "macs": compiled.program.macs,
        "program": str(program),
        "program_sha256": program_sha256(compiled.program),
    }
