"""``p2vit report``: one offline HTML file about a program."""

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
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The HTML file.")
@click.option("--data", metavar="DIR", help="Measure accuracy on these photos: a folder or a benchmark.")
@click.option(
    "--eval", "evaluation", type=click.Path(path_type=Path), help="What 'p2vit eval --json' printed."
)
@limit_option
@threads_option
@overwrite_option
@max_pixels_option
@common
def report(out: Output, program: Path, output: Path, **options: Any) -> None:
    """Write one HTML file about the program OUT: accuracy, proof, sensitivity, exponents. It loads nothing.

    The same data go beside it as JSON. No photo is copied into it.
    """
    result = run_report(program, output, out=out, **options)
    out.result(
        result, lambda told: f"wrote {told['file']} ({told['bytes'] / 1e3:.0f} kB) and {told['data_file']}"
    )
