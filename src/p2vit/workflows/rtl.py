"""``p2vit rtl``: write an accelerator's Verilog, its memory images, a self-checking test bench and a Makefile."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.errors import P2vitError
from p2vit.files import one_writer
from p2vit.workflows.compiled import compiled_program, is_chunk_machine, reference
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
    folder: Path | None = None,
    options: RtlOptions | None = None,
    *,
    photos: "PhotoSource | None" = None,
    out: Feedback | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Generate the Verilog and everything that is needed to simulate it.

    Args:
        program: Folder of the program, or a loaded program.
        folder: Folder to write; None for a dry run.
        options: Options; the defaults of `RtlOptions` if None.
        photos: Photos to use instead of ``options.data``.
        out: Receives notes.
        **replaced: Fields of `RtlOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit rtl --json``. A dry run has no modules and no files.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.hdl.bundle.writer import bundle_place, write_bundle

    options = changed(RtlOptions, options, replaced)
    if is_chunk_machine(options.hardware):
        raise P2vitError(
            f"--hw {options.hardware}: no test bench is written for the chunk organisation yet; simulate it with "
            f"'p2vit cosim OUT --hw {options.hardware}', or generate a load-store machine with --hw rtl"
        )
    if options.dry_run:
        return _checked(compiled_program(program, options.hardware, options.changes))
    if folder is None:
        raise P2vitError("Missing option '-o': give the folder to write, or --dry-run to write nothing")
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


def _checked(compiled: Any) -> dict[str, Any]:
    """Return the result of a dry run for a compiled program."""
    from p2vit.hdl.timing import rtl_timing
    from p2vit.program.format import program_sha256

    machine = compiled.machine
    return {
        "folder": None,
        "modules": [],
        "machine": machine.as_dict(),
        "memory": {"words": len(compiled.image), "bytes_per_word": machine.lines},
        "descriptors": len(compiled.descriptors),
        "cycles": rtl_timing(compiled).cycles,
        "program_sha256": program_sha256(compiled.program),
        "files": 0,
    }
