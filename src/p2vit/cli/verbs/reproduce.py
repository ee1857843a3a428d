"""``p2vit reproduce``: show published ImageNet figures, and measure them on this machine."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    CHECK_FAILED,
    Output,
    backend_option,
    cluster_options,
    common,
    limit_option,
    seed_option,
    threads_option,
)
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.workflows.reproduce import NEEDED, run_reproduce


def describe(result: dict[str, Any]) -> str:
    """Format the table for the terminal."""
    lines = [f"{'model':<12}{'W/A/attn':<10}{'method':<42}{'published':>14}{'measured':>10}  photos"]
    for row in result["rows"]:
        published = "-" if row["published"] is None else f"{row['published']:.2f}"
        published += "" if row["published_to"] is None else f"–{row['published_to']:.2f}"
        measured = "-" if row["measured"] is None else f"{row['measured']:.2f}"
        photos = "" if row["images"] is None else f"  {row['images']}"
        bits = row["bits"] if row["method"] != "float" else "float"
        lines.append(f"{row['model']:<12}{bits:<10}{row['method']:<42}{published:>14}{measured:>10}{photos}")
    sources = dict.fromkeys(
        (row["method"], row["source"]) for row in result["rows"] if row["published"] is not None
    )
    by_source: dict[str, list[str]] = {}
    for method, source in sources:
        by_source.setdefault(source, []).append(method)
    lines += ["ImageNet-1k top-1 in percent. Sources of the published figures:"]
    lines += [f"  {', '.join(dict.fromkeys(methods))}: {source}" for source, methods in by_source.items()]
    lines.append(
        "The P²-ViT paper's own accuracy is not in this table: its accuracy tables were not available."
    )
    lines += [f"failed: {row['model']} {row['bits']}: {row['error']}" for row in result["failed"]]
    if result["data"] is None:
        lines += ["", NEEDED]
    return "\n".join(lines)


@click.command("reproduce")
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="ImageNet's validation photos, to measure on.",
)
@click.option(
    "--calib-data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Photos to calibrate on; none of them may be in --data.",
)
@click.option(
    "--models",
    multiple=True,
    metavar="PATTERN",
    help="Models to measure, e.g. DeiT-T, 'Swin-*' or a timm name. Repeatable. Default: all.",
)
@click.option(
    "--bits",
    multiple=True,
    default=("w8a8", "w4a8"),
    show_default=True,
    help="Bits of weights and activations: w2a8 to w8a8. Repeatable.",
)
@click.option(
    "--method",
    default="p2vit",
    show_default=True,
    help="Quantization method; p2vit-log2 has 4-bit log2 attention in every block, p2vit-linear 8-bit.",
)
@click.option(
    "--calib-images",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Number of calibration photos.",
)
@click.option(
    "--weights",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with weight files, each named as the timm model.",
)
@click.option("--labels", metavar="FILE", type=click.Path(path_type=Path), help="As in eval.")
@click.option("--class-index", metavar="FILE", type=click.Path(path_type=Path), help="As in eval.")
@click.option(
    "-o",
    "--output",
    default="out/reproduce",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the results. A run that was stopped continues from it.",
)
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(1), help="Photos per batch.")
@click.option("--readers", type=click.IntRange(0, 256), help="Number of threads that read photos in advance.")
@cluster_options
@backend_option
@limit_option
@seed_option
@threads_option
@max_pixels_option
@common
def reproduce(out: Output, **options: Any) -> int:
    """Show published ImageNet figures of FQ-ViT and the P²-ViT paper, and measure them on this machine.

    Without --data this prints the published table and what a measurement needs. With --data each model is quantized
    on photos of --calib-data and measured on --data. A run that was stopped continues from its journal. Exit status 1
    if a model could not be measured.
    """
    if options["data"] is None and (options["calib_data"] or options["models"]):
        raise click.UsageError(
            "--data is missing: give the folder with ImageNet's validation photos, to measure on"
        )
    result = run_reproduce(out=out, **options)
    out.result(result, describe)
    return CHECK_FAILED if result["failed"] else 0
