"""``p2vit cosim``: photos through the RTL, every layer against the program, cycles beside the model's."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common, program_argument
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.cli.shared.rtl_options import machine_options
from p2vit.workflows.cosim import run_cosim


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
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Random seed of the stalls.",
)
@click.option("--quick", is_flag=True, help="Compile the simulation faster; it runs slower.")
@click.option("--predict", is_flag=True, help="Only the timing model's cycles: nothing is simulated.")
@max_pixels_option
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
    out.result(result, describe)
    return CHECK_FAILED if result["mismatches"] or result["store_differences"] else 0
