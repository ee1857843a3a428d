"""``p2vit rtl``: the accelerator's Verilog with a program to run, a bench that checks itself, and a Makefile."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.common import Output, common, overwrite_option, program_argument
from p2vit.cli.rtl_options import compiled_program, machine_options, reference


def run_rtl(
    program: Path,
    folder: Path,
    *,
    hardware: str = "rtl",
    changes: tuple[str, ...] = (),
    data: str = "noise",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Generate.

    Args:
        program: Folder of an integer program.
        folder: Where to.
        hardware: Name of an RTL machine.
        changes: ``key=number``.
        data: Where the photo of the test vectors comes from.
        overwrite: The folder may be replaced.

    Returns:
        The keys of ``p2vit rtl --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.rtl.bundle.writer import write_bundle

    compiled = compiled_program(program, hardware, changes)
    photos = open_photos(data, compiled.program.preprocessing)
    pixels, _ = next(iter(photos.evaluation(1, 1)))
    executor = reference(compiled.program)
    manifest = write_bundle(compiled, executor, pixels[0], folder, overwrite)
    keep = ("modules", "machine", "memory", "descriptors", "cycles", "program_sha256")
    return {
        "folder": str(folder),
        **{key: manifest[key] for key in keep},
        "files": len(manifest["files"]) + 1,
    }


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
@common
def rtl(out: Output, program: Path, **options: Any) -> int:
    """Generate the accelerator's Verilog for OUT, with memory images, test vectors and a self-checking bench.

    `make` in the folder simulates one photo with Verilator and with Icarus Verilog and compares every tensor.
    """
    result = run_rtl(program, **options)
    out.result(result, describe(result))
    return 0
