"""``p2vit export``: an integer program in other people's formats."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common, seed_option
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.workflows.export import FORMATS, run_export
from p2vit.workflows.options.base import choices
from p2vit.workflows.options.export import ExportOptions


@click.command("export")
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--format", "export_format", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="The .onnx file; a folder for c and vectors.",
)
@click.option(
    "--data",
    default="noise",
    show_default=True,
    metavar="DIR",
    help="Photos to run both sides on, or to write.",
)
@click.option("--images", default=2, show_default=True, type=click.IntRange(1), help="How many of them.")
@seed_option
@click.option(
    "--products",
    type=click.Choice(choices(ExportOptions, "products")),
    default="portable",
    show_default=True,
    help="onnx-integer: products exact on every CPU, or faster and exact on those with VNNI and on Arm.",
)
@click.option(
    "--expose", multiple=True, metavar="TENSOR", help="onnx-integer: also give this tensor out; repeatable."
)
@click.option(
    "--quantize-probabilities",
    is_flag=True,
    help="onnx-qdq: quantize the softmax's output too, for tools that want it; costs accuracy.",
)
@click.option(
    "--activations",
    type=click.Choice(choices(ExportOptions, "activations")),
    default="int8",
    show_default=True,
    help="onnx-qdq: symmetric int8, or the same numbers as uint8, which ONNX Runtime runs faster on x86.",
)
@click.option(
    "--encoding",
    type=click.Choice(choices(ExportOptions, "encoding")),
    default="npy",
    show_default=True,
    help="vectors: file format.",
)
@click.option(
    "--weights",
    type=click.Choice(choices(ExportOptions, "weights")),
    default="auto",
    show_default=True,
    help="c: weights as a C array, or as a binary file beside it; auto: a file above 1 MiB.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@max_pixels_option
@common
def export(out: Output, program: Path, export_format: str, file: Path, **options: Any) -> int:
    """Write PROGRAM, a folder that quantize wrote, as ONNX, as C, or as test vectors; run both on some images."""
    report = run_export(program, export_format, file, out=out, **options)
    out.result(report, describe)
    apart = report["max_abs_diff"] or any(report.get("max_abs_diff_maps", {}).values())
    return CHECK_FAILED if report["format"] == "onnx-integer" and apart else 0


def describe(report: dict) -> str:
    """The report in one or two lines."""
    if report["format"] == "c":
        compared = (
            "not compiled here: no C compiler"
            if report["max_abs_diff"] is None
            else "compiled here, same integers"
        )
        return (
            f"wrote {report['file']}: C99, {compared} {report['images']} images\n"
            f"  flash {report['flash_bytes']:,} bytes (weights {report['weight_bytes']:,}), "
            f"RAM {report['arena_bytes']:,} bytes\n"
            f"next: make -C {report['file']} check"
        )
    if report["opset"] is None:
        return f"wrote {report['file']}: every tensor of {report['images']} images"
    unit = "integers" if report["format"] == "onnx-integer" else "real units"
    files = ", ".join(report["files"])
    maps = "".join(
        f"\nlargest difference of {name}: {apart:g} {unit}"
        for name, apart in report.get("max_abs_diff_maps", {}).items()
    )
    return (
        f"wrote {files} (opset {report['opset']}, {report['float_tensors']} float tensors)\n"
        f"largest difference of the logits: {report['max_abs_diff']:g} {unit}, {report['images']} images{maps}"
    )
