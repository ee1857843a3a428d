"""``p2vit rtl``: the accelerator's Verilog with a program to run, a bench that checks itself, and a Makefile."""

from pathlib import Path
from typing import Any

from p2vit.workflows.compiled import compiled_program, reference
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.left_out import say_notes


def run_rtl(
    program: Path,
    folder: Path,
    *,
    hardware: str = "rtl",
    changes: tuple[str, ...] = (),
    data: str = "noise",
    overwrite: bool = False,
    out: Feedback | None = None,
) -> dict[str, Any]:
    """Generate.

    Args:
        program: Folder of an integer program.
        folder: Where to.
        hardware: Name of an RTL machine.
        changes: ``key=number``.
        data: Where the photo of the test vectors comes from.
        overwrite: The folder may be replaced.
        out: Where notes go.

    Returns:
        The keys of ``p2vit rtl --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.rtl.bundle.writer import write_bundle

    compiled = compiled_program(program, hardware, changes)
    photos = open_photos(data, compiled.program.preprocessing)
    say_notes(photos, out or Feedback())
    pixels, _ = next(iter(photos.evaluation(1, 1)))
    executor = reference(compiled.program)
    manifest = write_bundle(compiled, executor, pixels[0], folder, overwrite)
    keep = ("modules", "machine", "memory", "descriptors", "cycles", "program_sha256")
    return {
        "folder": str(folder),
        **{key: manifest[key] for key in keep},
        "files": len(manifest["files"]) + 1,
    }
