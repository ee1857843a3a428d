"""``p2vit rtl``: the accelerator's Verilog with a program to run, a bench that checks itself, and a Makefile."""

from pathlib import Path
from typing import Any

from p2vit.files import one_writer
from p2vit.workflows.compiled import compiled_program, reference
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import RtlOptions


@one_writer("folder")
def run_rtl(
    program: Path,
    folder: Path,
    options: RtlOptions | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Generate.

    Args:
        program: Folder of an integer program.
        folder: Where to.
        options: What may be chosen; the defaults of `RtlOptions` if None.
        **replaced: Fields of `RtlOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit rtl --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.rtl.bundle.writer import bundle_place, write_bundle

    options = changed(RtlOptions, options, replaced)
    bundle_place(folder, options.overwrite).check()
    compiled = compiled_program(program, options.hardware, options.changes)
    photos = open_photos(options.data, compiled.program.preprocessing)
    pixels, _ = next(iter(photos.evaluation(1, 1)))
    executor = reference(compiled.program)
    manifest = write_bundle(compiled, executor, pixels[0], folder, options.overwrite)
    keep = ("modules", "machine", "memory", "descriptors", "cycles", "program_sha256")
    return {
        "folder": str(folder),
        **{key: manifest[key] for key in keep},
        "files": len(manifest["files"]) + 1,
    }
