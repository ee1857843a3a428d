"""``p2vit rtl``: the accelerator's Verilog with a program to run, a bench that checks itself, and a Makefile."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.files import one_writer
from p2vit.workflows.compiled import compiled_program, reference
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.inputs import OpenProgram, open_data
from p2vit.workflows.left_out import say_notes
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import RtlOptions

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource


@one_writer("folder")
def run_rtl(
    program: Path | OpenProgram,
    folder: Path,
    options: RtlOptions | None = None,
    *,
    photos: "PhotoSource | None" = None,
    out: Feedback | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Generate.

    Args:
        program: Its folder, or a program that is open.
        folder: Where to.
        options: What may be chosen; the defaults of `RtlOptions` if None.
        photos: Photos that are open, instead of ``data``.
        out: Where notes go.
        **replaced: Fields of `RtlOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit rtl --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.rtl.bundle.writer import bundle_place, write_bundle

    options = changed(RtlOptions, options, replaced)
    bundle_place(folder, options.overwrite).check()
    compiled = compiled_program(program, options.hardware, options.changes)
    source = open_data(photos or options.data, compiled.program.preprocessing)
    say_notes(source, out or Feedback())
    pixels, _ = next(iter(source.evaluation(1, 1)))
    executor = reference(compiled.program)
    manifest = write_bundle(compiled, executor, pixels[0], folder, options.overwrite)
    keep = ("modules", "machine", "memory", "descriptors", "cycles", "program_sha256")
    return {
        "folder": str(folder),
        **{key: manifest[key] for key in keep},
        "files": len(manifest["files"]) + 1,
    }
