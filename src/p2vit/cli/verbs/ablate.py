"""``p2vit ablate``: compare all quantization methods, and the p2vit method without each of its parts."""

import shlex
from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    Output,
    cluster_options,
    common,
    limit_option,
    overwrite_option,
    seed_option,
    threads_option,
)
from p2vit.cli.shared.model_options import model_options
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.text import json_text
from p2vit.workflows.ablate import run_ablate


@click.command("ablate")
@click.argument("model", default="dinov2-elpv")
@click.option(
    "--data",
    default="elpv",
    show_default=True,
    metavar="DIR",
    help="Photos: a benchmark, or a folder with one subfolder per class.",
)
@click.option(
    "-o",
    "--output",
    default="out/ablation",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the results.",
)
@click.option(
    "--bits", default="w8a8", show_default=True, help="Bits of weights and activations: w2a8 to w8a8."
)
@click.option(
    "--row",
    "rows",
    multiple=True,
    metavar="NAME",
    help="Measure only the rows whose name contains NAME. Repeatable.",
)
@click.option(
    "--calib-images",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Number of calibration photos.",
)
@cluster_options
@model_options
@limit_option
@overwrite_option
@seed_option
@threads_option
@max_pixels_option
@common
def ablate(out: Output, model: str, data: str, **options: Any) -> None:
    """Compare the quantization methods on MODEL, and the p2vit method without each of its parts.

    Writes a table as JSON and Markdown, and a plot. Methods that make no integer program are simulated in float, and
    marked as such. All photos are held in memory.
    """
    words = click.get_current_context().obj or []
    result = run_ablate(model, data, out=out, command=shlex.join(["p2vit", *words]), **options)
    out.result(
        result, json_text(result["files"]) if out.quiet else Path(result["files"][1]).read_text("utf-8")
    )
