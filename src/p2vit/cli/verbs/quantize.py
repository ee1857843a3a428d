"""``p2vit quantize``: quantize a float Vision Transformer to an integer program."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    CHECK_FAILED,
    Output,
    common,
    overwrite_option,
    seed_option,
    strict_option,
    threads_option,
    warn_skipped,
)
from p2vit.cli.shared.model_options import model_options
from p2vit.cli.shared.photo_options import class_index_option, class_names_option, max_pixels_option
from p2vit.workflows.outputs import folder_and_outputs
from p2vit.workflows.program_folder import program_lines
from p2vit.workflows.quantize import run_quantize


def model_lines(result: dict[str, Any]) -> list[str]:
    """Return lines about the preprocessing and its source, and about the check against the original library."""
    pre = result["preprocessing"]
    lines = [f"  photos: {pre['in_words']}" + (f" (from {pre['source']})" if pre["source"] else "")]
    if found := result["checked"]:
        lines.append(
            f"  float model: equal to {found['library']}'s within {found['difference']:.1g} of the largest output"
        )
    return lines


def output_lines(outputs: list[dict[str, Any]]) -> list[str]:
    """The feature maps among a program's outputs, for people; none for most programs."""
    lines = []
    for each in outputs:
        if each["kind"] == "map":
            shape = " x ".join(map(str, each["shape"]))
            low, high = each["exponent_low"], each["exponent_high"]
            exponent = str(low) if low == high else f"{low} to {high}"
            lines.append(f"  output {each['name']}: {each['width']} {shape}, scale exponents {exponent}")
    return lines


def control_lines(control: dict[str, Any] | None) -> list[str]:
    """Return lines about the agreement with the float model and the raised layers; none without ``--max-drop``."""
    if control is None:
        return []
    agreement = f"{control['agreement']:g} % of {control['held_out_images']} held-out photos"
    lines = [f"  agreement with the float model: {agreement} (--max-drop {control['max_drop']:g})"]
    if raised := control["raised"]:
        lines.append(f"  raised to 8 bits: {len(raised)} layers, the most sensitive first:")
        lines += [f"    {name}" for name in raised]
    return lines


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    if result.get("dry_run"):
        lines = [
            f"{layer['name']:<28} {layer['shape']!s:<14} {layer['bits']} bits" for layer in result["layers"]
        ]
        lines += [
            f"weights: {result['weight_bytes'] / 1e6:.2f} MB (float {result['float_weight_bytes'] / 1e6:.2f} MB)",
            f"memory: about {result['memory_bytes'] / 1e6:.0f} MB",
            f"temporary files: {result['temporary_bytes'] / 1e6:.0f} MB",
            "files to write: " + ", ".join(result["files"]),
        ]
        return "\n".join(lines)
    photos = f"{result['calibration_images']} photos of {result['data']}"
    return "\n".join(
        [
            f"{result['model']} -> {result['output']}  ({result['bits']}, method {result['method']})",
            f"  {result['seconds']:.1f} s, {photos}, seed {result['seed']}",
            *model_lines(result),
            *control_lines(result["accuracy_control"]),
            *program_lines(result),
            *output_lines(result["outputs"]),
            f"next: p2vit eval {result['output']} --data {result['data']}",
        ]
    )


@click.command("quantize")
@click.argument("model")
@click.option(
    "--data", required=True, metavar="DIR", help="Photos: a folder, or elpv, textile, digits, noise."
)
@click.option("-o", "folder", type=click.Path(path_type=Path), help="Folder for the program; required.")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="tokens|layers=I,J,...|embedding|DIR",
    help="Also put out the last block's patch tokens, those of blocks I, J, ... counted from 0, or the image embedding "
    "of CLIP and SigLIP; repeatable. Another value is the folder, as with -o.",
)
@click.option(
    "--bits", default="w8a8", show_default=True, help="Bits of weights and activations: w2a8 to w8a8."
)
@click.option(
    "--calib-images",
    type=click.IntRange(1),
    help="Number of calibration photos. Default: 32, or 128 for weights of at most 6 bits.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Raise layers to 8 bits until program and float model predict different classes on at most PERCENT of the "
    "held-out photos; exit status 1 if they do not.",
)
@click.option(
    "--held-out",
    default=128,
    show_default=True,
    type=click.IntRange(1),
    help="Number of further calibration photos for --max-drop.",
)
@click.option("--method", default="p2vit", show_default=True, help="Quantization method; see 'p2vit list'.")
@model_options
@click.option(
    "--classes",
    metavar="FILE",
    help="Zero-shot classes of a CLIP or SigLIP model: a file with one per line, or names between commas.",
)
@click.option(
    "--template",
    multiple=True,
    metavar="TEXT",
    help="Prompt of the zero-shot classes, with {} for the class; repeatable. Default: 'a photo of a {}'.",
)
@class_names_option
@class_index_option
@click.option("--dry-run", is_flag=True, help="Print layers, widths, memory and files; write nothing.")
@strict_option
@max_pixels_option
@overwrite_option
@seed_option
@threads_option
@common
def quantize(
    out: Output, model: str, data: str, folder: Path | None, outputs: tuple[str, ...], **options: Any
) -> int:
    """Quantize MODEL to an integer program with power-of-two scales, calibrated on photos.

    MODEL is a timm name, hf:ORG/NAME (Hugging Face Hub), a weight file with --arch, a benchmark's model (dinov2-elpv,
    dinov2-textile, digits) or random:ARCH (random weights).
    """
    output, outputs = folder_and_outputs(folder, outputs)
    result = run_quantize(model, data, output, out=out, outputs=outputs, **options)
    warn_skipped(out, result)
    out.result(result, describe)
    control = result.get("accuracy_control")
    return 0 if control is None or control["holds"] else CHECK_FAILED
