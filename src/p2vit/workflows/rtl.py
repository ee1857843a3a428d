"""``p2vit rtl``: the accelerator's Verilog with a program to run, a bench that checks itself, and a Makefile."""

from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError
from p2vit.workflows.compiled import compiled_program, reference


def run_rtl(
    program: Path,
    folder: Path | None,
    *,
    hardware: str = "rtl",
    changes: tuple[str, ...] = (),
    data: str = "noise",
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Generate.

    Args:
        program: Folder of an integer program.
        folder: Where to; not needed for a dry run.
        hardware: Name of an RTL machine.
        changes: ``key=number``.
        data: Where the photo of the test vectors comes from.
        overwrite: The folder may be replaced.
        dry_run: Only check the machine and compile the program for it; write nothing.

    Returns:
        The keys of ``p2vit rtl --json``; of a dry run without modules and files.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.rtl.bundle.writer import write_bundle

    if folder is None and not dry_run:
        raise P2vitError("Missing option '-o': the folder to write; or give --dry-run to write nothing")
    compiled = compiled_program(program, hardware, changes)
    if dry_run or folder is None:
        return _checked(compiled)
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


def _checked(compiled: Any) -> dict[str, Any]:
    """What a compiled program says about itself before anything is written."""
    from p2vit.program.format import program_sha256
    from p2vit.rtl.timing import rtl_timing

    machine = compiled.machine
    return {
        "folder": None,
        "modules": [],
        "machine": machine.as_dict(),
        "memory": {"words": len(compiled.image), "bytes_per_word": machine.lines},
        "descriptors": len(compiled.descriptors),
        "cycles": rtl_timing(compiled.descriptors, machine).cycles,
        "program_sha256": program_sha256(compiled.program),
        "files": 0,
    }
