"""``p2vit cosim``: photos through the RTL, every layer against the program, cycles beside the model's."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from p2vit.cli.common import CHECK_FAILED, Output, common, program_argument
from p2vit.cli.rtl_options import compiled_program, machine_options, reference


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
    out: Output | None = None,
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

    out = out or Output(quiet=True)
    compiled = compiled_program(program, hardware, changes)
    if predict:
        return prediction(compiled, program, latency or MEMORY_LATENCY)
    photos = open_photos(data, compiled.program.preprocessing)
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


def describe_prediction(result: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"predicted, not run: {result['predicted']:,} cycles ({result['utilization']:.1%} of the multipliers at work)"
    ]
    lines += [f"{layer['name']:<28}{layer['predicted']:>12,}" for layer in result["layers"]]
    return "\n".join(lines)


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    verdict = "identical" if not result["mismatches"] else f"{result['mismatches']} TENSORS DIFFER"
    lines = [
        f"{verdict}: RTL against {result['against']}, {result['images']} photos, {result['tensors_compared']} tensors, "
        f"{result['values_compared']:,} numbers",
        f"{result['cycles']:,} cycles ({result['utilization']:.1%} of the multipliers at work), "
        f"predicted {result['predicted']:,}"
        + (f"; {result['store_differences']} STORES AT OTHER CYCLES" if result["store_differences"] else ""),
        f"{'layer':<28}{'':<16}{'cycles':>12}{'predicted':>12}{'mismatches':>12}",
    ]
    for layer in result["layers"]:
        lines.append(
            f"{layer['name']:<28}{layer['operator']:<16}{layer['cycles']:>12,}{layer['predicted']:>12,}"
            f"{layer['mismatches']:>12}"
        )
    for row in result["first_mismatches"]:
        lines.append(
            f"  {row['tensor']}, photo {row['image']}: at {row['index']} {row['actual']}, expected {row['expected']}"
        )
    lines.append(
        f"{result['rtl_seconds']} s of simulation, {result['seconds_per_image']} s per photo with the reference, "
        f"{result['build_seconds']} s to compile the simulation"
    )
    return "\n".join(lines)


@click.command("cosim")
@program_argument
@machine_options
@click.option("--images", default=1, show_default=True, type=click.IntRange(1), help="Photos.")
@click.option(
    "--data", default="noise", show_default=True, metavar="DIR", help="Photos: a folder or a benchmark."
)
@click.option(
    "--latency", type=click.IntRange(1, 100_000), help="Cycles of a read of the memory. Default: 8."
)
@click.option(
    "--stall",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 0.95),
    help="Share of cycles in which memory and descriptors stall, at random.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of the stalls."
)
@click.option("--quick", is_flag=True, help="Compile the simulation faster; it runs slower.")
@click.option("--predict", is_flag=True, help="Only the timing model's cycles: nothing is simulated.")
@common
def cosim(out: Output, program: Path, **options: Any) -> int:
    """Run photos through the accelerator's RTL and compare every layer with OUT.

    Exit status 1 when a number differs, or, without stalls, when a store is not done in the cycle that the timing
    model says.
    """
    result = run_cosim(program, out=out, **options)
    if options["predict"]:
        out.result(result, describe_prediction(result))
        return 0
    out.result(result, describe(result))
    return CHECK_FAILED if result["mismatches"] or result["store_differences"] else 0
