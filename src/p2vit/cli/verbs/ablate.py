"""``p2vit ablate``: one table of all methods, and of ours without each of its pieces."""

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
    "--data", default="elpv", show_default=True, metavar="DIR", help="A benchmark or a folder with classes."
)
@click.option(
    "-o",
    "--output",
    default="out/ablation",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder.",
)
@click.option("--bits", default="w8a8", show_default=True, help="w2a8 to w8a8: width of the weights.")
@click.option(
    "--row", "rows", multiple=True, metavar="NAME", help="Only rows with this in their name; repeatable."
)
@click.option(
    "--calib-images", default=32, show_default=True, type=click.IntRange(1), help="Photos to calibrate on."
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
    """Measure every method on MODEL, and ours with each of its pieces taken away: JSON, Markdown and a plot.

    Methods without an integer program are simulated and marked so. All photos stay in memory while it runs.
    """
    words = click.get_current_context().obj or []
    result = run_ablate(model, data, out=out, command=shlex.join(["p2vit", *words]), **options)
    out.result(
        result, json_text(result["files"]) if out.quiet else Path(result["files"][1]).read_text("utf-8")
    )
