"""``p2vit export``: write an integer program as ONNX, as C, for browsers or as test vectors."""

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
@click.option("--format", "export_format", type=click.Choice(FORMATS), required=True, help="Format to write.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="The .onnx file; for c, web and vectors a folder.",
)
@click.option(
    "--data",
    default="noise",
    show_default=True,
    metavar="DIR",
    help="Photos for the comparison with the reference, or for the test vectors.",
)
@click.option("--images", default=2, show_default=True, type=click.IntRange(1), help="Number of photos.")
@seed_option
@click.option(
    "--products",
    type=click.Choice(choices(ExportOptions, "products")),
    default="portable",
    show_default=True,
    help="onnx-integer: portable products are exact on every CPU; fast ones only on CPUs with VNNI and on Arm.",
)
@click.option(
    "--expose",
    multiple=True,
    metavar="TENSOR",
    help="ONNX: make this tensor an output too; also features (what the head reads) and tokens. Repeatable.",
)
@click.option(
    "--target",
    type=click.Choice(choices(ExportOptions, "target")),
    default="any",
    show_default=True,
    help="onnx-integer: require that this runtime is installed and returns the program's integers. The file is the "
    "same for all; any checks those that are installed.",
)
@click.option(
    "--opset",
    type=int,
    default=17,
    show_default=True,
    help="onnx-qdq: opset of the file, 13 to 20. Some tools read only older ones.",
)
@click.option(
    "--quantize-probabilities",
    is_flag=True,
    help="onnx-qdq: also quantize the output of softmax, for tools that require it. Costs accuracy.",
)
@click.option(
    "--activations",
    type=click.Choice(choices(ExportOptions, "activations")),
    default="int8",
    show_default=True,
    help="onnx-qdq: symmetric int8, or the same values as uint8, which are faster in ONNX Runtime on x86.",
)
@click.option(
    "--encoding",
    type=click.Choice(choices(ExportOptions, "encoding")),
    default="npy",
    show_default=True,
    help="vectors: format of the files.",
)
@click.option(
    "--weights",
    type=click.Choice(choices(ExportOptions, "weights")),
    default="auto",
    show_default=True,
    help="c: store the weights in a C array or in a binary file; auto: a file if they exceed 1 MiB.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing output.")
@max_pixels_option
@common
def export(out: Output, program: Path, export_format: str, file: Path, **options: Any) -> int:
    """Export PROGRAM, a folder that quantize wrote, as ONNX, C, WebAssembly or vectors, and compare both on photos.

    Exit status 1 if an integer ONNX model returns other integers than the program.
    """
    report = run_export(program, export_format, file, out=out, **options)
    out.result(report, describe)
    apart = report["max_abs_diff"] or any(report.get("max_abs_diff_maps", {}).values())
    apart = apart or any(
        row["differ"] or row["reason"].startswith("failed") for row in report.get("runtimes", ())
    )
    return CHECK_FAILED if report["format"] == "onnx-integer" and apart else 0


def describe(report: dict) -> str:
    """Format the result as text for the terminal."""
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
    if report["format"] == "web":
        return (
            f"wrote {report['file']}: WebAssembly, same integers on {report['images']} images\n"
            f"  weights {report['weight_bytes']:,} bytes, module {report['relaxed_bytes']:,} bytes, "
            f"working memory {report['arena_bytes']:,} bytes\n"
            f"next: open {report['file']}/index.html in a browser"
        )
    if report["opset"] is None:
        return f"wrote {report['file']}: every tensor of {report['images']} images"
    unit = "integers" if report["format"] == "onnx-integer" else "real units"
    files = ", ".join(report["files"])
    maps = "".join(
        f"\nlargest difference of {name}: {apart:g} {unit}"
        for name, apart in report.get("max_abs_diff_maps", {}).items()
    )
    checked = "".join("\n" + describe_runtime(row) for row in report.get("runtimes", ()))
    return (
        f"wrote {files} (opset {report['opset']}, {report['float_tensors']} float tensors)\n"
        f"largest difference of the logits: {report['max_abs_diff']:g} {unit}, {report['images']} images{maps}{checked}"
    )


def describe_runtime(row: dict) -> str:
    """Format what was proved in one runtime."""
    title = f"{row['runtime']} {row['version'] or ''}".strip()
    if row["differ"] is None:
        return f"  {title}: not checked ({row['reason']})"
    return f"  {title}: {row['differ']:,} of {row['compared']:,} integers differ, {row['images']} images"
