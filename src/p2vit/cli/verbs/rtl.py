"""``p2vit rtl``: write an accelerator's Verilog, its memory images, a self-checking test bench and a Makefile."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, overwrite_option, program_argument
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.cli.shared.rtl_options import machine_options
from p2vit.workflows.rtl import run_rtl


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    names = ", ".join(module["name"] for module in result["modules"])
    if result["folder"] is None:
        sizes = ", ".join(f"{name} {size}" for name, size in result["machine"].items())
        return (
            f"this accelerator can run the program: {sizes}\n{result['descriptors']:,} descriptors, "
            f"{result['memory']['words']:,} words of memory, {result['cycles']:,} cycles per photo\n"
            "dry run: nothing was written; give -o FOLDER and omit --dry-run to write the files"
        )
    return (
        f"{result['folder']}: {result['files']} files, modules {names}\n"
        f"{result['descriptors']:,} descriptors, {result['memory']['words']:,} words of memory, "
        f"{result['cycles']:,} cycles per photo\nnext: make -C {result['folder']}"
    )


@click.command("rtl")
@program_argument
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder to write. Required without --dry-run.",
)
@machine_options
@click.option(
    "--data",
    default="noise",
    show_default=True,
    metavar="DIR",
    help="Source of the photo for the test vectors: a folder or a benchmark.",
)
@click.option("--dry-run", is_flag=True, help="Check that the accelerator can run OUT; write nothing.")
@overwrite_option
@max_pixels_option
@common
def rtl(out: Output, program: Path, **options: Any) -> int:
    """Generate the Verilog of an accelerator that runs program OUT, with a self-checking test bench.

    The folder also has memory images and test vectors. 'make' in it simulates one photo with Verilator and with Icarus
    Verilog and compares every tensor.
    """
    result = run_rtl(program, out=out, **options)
    out.result(result, describe)
    return 0
