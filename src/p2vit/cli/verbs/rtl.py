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
    if result["folder"] is None:
        sizes = ", ".join(f"{name} {size}" for name, size in result["machine"].items())
        return (
            f"can be generated: {sizes}\n{result['descriptors']:,} descriptors, "
            f"{result['memory']['words']:,} words of memory, {result['cycles']:,} cycles per photo\n"
            "dry run: nothing was written; give -o FOLDER without --dry-run to write it"
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
    help="Folder to write; needed unless --dry-run.",
)
@machine_options
@click.option(
    "--data",
    default="noise",
    show_default=True,
    metavar="DIR",
    help="Photo of the test vectors: folder or benchmark.",
)
@click.option("--dry-run", is_flag=True, help="Check the machine and compile OUT for it; write nothing.")
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
