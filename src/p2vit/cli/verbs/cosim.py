"""``p2vit cosim``: simulate the RTL on photos and compare it with the program, layer by layer."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common, program_argument
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.cli.shared.rtl_options import machine_options
from p2vit.workflows.cosim import run_cosim


def describe_prediction(result: dict[str, Any]) -> str:
    """Format the predicted cycles as text for the terminal."""
    lines = [
        f"predicted, not simulated: {result['predicted']:,} cycles (multiplier utilization {result['utilization']:.1%})"
    ]
    lines += [f"{layer['name']:<28}{layer['predicted']:>12,}" for layer in result["layers"]]
    return "\n".join(lines)


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    verdict = "identical" if not result["mismatches"] else f"{result['mismatches']} TENSORS DIFFER"
    lines = [
        f"{verdict}: RTL against {result['against']}, {result['images']} photos, {result['tensors_compared']} tensors, "
        f"{result['values_compared']:,} numbers",
        f"{result['cycles']:,} cycles (multiplier utilization {result['utilization']:.1%}), "
        f"predicted {result['predicted']:,}"
        + (f"; {result['store_differences']} STORES IN OTHER CYCLES" if result["store_differences"] else ""),
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
@click.option("--images", default=1, show_default=True, type=click.IntRange(1), help="Number of photos.")
@click.option(
    "--data", default="noise", show_default=True, metavar="DIR", help="Photos: a folder or a benchmark."
)
@click.option(
    "--latency",
    type=click.IntRange(1, 1000),
    help="Read latency of the external memory, in cycles. Default: 8.",
)
@click.option(
    "--stall",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 0.95),
    help="Probability that the memory and the descriptor stream stall in a cycle.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Random seed of the stalls.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Compile the simulation without optimization: it compiles faster and runs slower.",
)
@click.option("--predict", is_flag=True, help="Predict the cycles with the timing model; simulate nothing.")
@max_pixels_option
@common
def cosim(out: Output, program: Path, **options: Any) -> int:
    """Simulate the accelerator's RTL on photos and compare every layer with program OUT.

    Exit status 1 if a number differs. Without --stall, also if a store completes in another cycle than the timing
    model predicts.
    """
    result = run_cosim(program, out=out, **options)
    if options["predict"]:
        out.result(result, describe_prediction(result))
        return 0
    out.result(result, describe)
    return CHECK_FAILED if result["mismatches"] or result["store_differences"] else 0
