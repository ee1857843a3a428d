"""``p2vit report``: write a self-contained HTML report about a program."""

import shlex
from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    Output,
    common,
    limit_option,
    overwrite_option,
    program_argument,
    threads_option,
)
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.workflows.report import run_report


@click.command("report")
@program_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="HTML file to write.")
@click.option("--data", metavar="DIR", help="Measure the accuracy on these photos: a folder or a benchmark.")
@click.option(
    "--eval",
    "evaluation",
    type=click.Path(path_type=Path),
    help="Use the saved output of 'p2vit eval --json' instead of measuring.",
)
@click.option(
    "--thumbnails",
    is_flag=True,
    help="Show the photos on which program and float model differ most, not only their names.",
)
@limit_option
@threads_option
@overwrite_option
@max_pixels_option
@common
def report(out: Output, program: Path, output: Path, **options: Any) -> None:
    """Write an HTML report about program OUT: accuracy, audit, error of each block, scale exponents.

    The page is self-contained and contains no photos unless --thumbnails asks for them. The same data are written
    beside it as JSON.
    """
    words = click.get_current_context().obj or []
    result = run_report(program, output, out=out, command=shlex.join(["p2vit", *words]), **options)
    out.result(
        result, lambda told: f"wrote {told['file']} ({told['bytes'] / 1e3:.0f} kB) and {told['data_file']}"
    )
