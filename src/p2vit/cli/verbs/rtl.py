"""``p2vit rtl``: the accelerator's Verilog with a program to run, a bench that checks itself, and a Makefile."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, overwrite_option, program_argument
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.cli.shared.rtl_options import machine_options
from p2vit.workflows.rtl import run_rtl


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    names = ", ".join(module["name"] for module in result["modules"])
    return (
        f"{result['folder']}: {result['files']} files, modules {names}\n"
        f"{result['descriptors']:,} descriptors, {result['memory']['words']:,} words of memory, "
        f"{result['cycles']:,} cycles per photo\nnext: make -C {result['folder']}"
    )


@click.command("rtl")
@program_argument
@click.option(
    "-o", "--output", "folder", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@machine_options
@click.option(
    "--data",
    default="noise",
    show_default=True,
    metavar="DIR",
    help="Photo of the test vectors: folder or benchmark.",
)
@overwrite_option
@max_pixels_option
@common
def rtl(out: Output, program: Path, **options: Any) -> int:
    """Generate the accelerator's Verilog for OUT, with memory images, test vectors and a self-checking bench.

    `make` in the folder simulates one photo with Verilator and with Icarus Verilog and compares every tensor.
    """
    result = run_rtl(program, out=out, **options)
    out.result(result, describe)
    return 0
