"""``p2vit demo``: quantize, evaluate, audit and report a benchmark's model."""

import shlex
from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common, limit_option, seed_option, threads_option
from p2vit.workflows.demo import MODELS, run_demo


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""

    def show(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:.2f} {unit}"

    return "\n".join(
        [
            f"{result['model']}, {result['bits']}, on {result['images']} held-out photos of {result['data']}:",
            f"  top-1                 {show(result['top1'], '%')}   (float {show(result['top1_float'], '%')})",
            f"  agreement with float  {show(result['agreement'], '%')}",
            f"  SQNR of the feature   {show(result['sqnr_db'], 'dB')}",
            f"  float operations      {result['float_ops']}",
            f"  scales that are not powers of two  {result['non_pot_scales']}",
            f"  widest accumulator    {result['max_accumulator_bits']} bits of 32",
            f"  quantized in {result['seconds']:.1f} s, evaluated in {result['evaluation_seconds']:.1f} s "
            f"({result['backend']})",
            f"  program {result['program']}, report {result['report']}",
        ]
    )


@click.command("demo")
@click.option(
    "-o",
    "--output",
    default="out/demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the results.",
)
@click.option(
    "--benchmark",
    type=click.Choice(list(MODELS)),
    default="elpv",
    show_default=True,
    help="Model and photos to use.",
)
@click.option(
    "--bits", default="w8a8", show_default=True, help="Bits of weights and activations: w2a8 to w8a8."
)
@click.option(
    "--calib-images",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Number of calibration photos.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@limit_option
@seed_option
@threads_option
@common
def demo(out: Output, output: Path, **options: Any) -> int:
    """Quantize a DINOv2 model, measure it on 1,312 photos, audit it and write a report.

    Writes program/, summary.json and report.html to the output folder. Exit status 1 if the audit fails.
    """
    words = click.get_current_context().obj or []
    result = run_demo(output, out=out, command=shlex.join(["p2vit", *words]), **options)
    out.result(result, describe(result))
    return 0 if result["passed"] else CHECK_FAILED
