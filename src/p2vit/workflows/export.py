"""``p2vit export``: an integer program in other people's formats."""

from pathlib import Path
from typing import Any

import numpy as np

from p2vit.export.run import FORMATS, noise_pixels
from p2vit.export.run import run_export as write_checked
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.export import ExportOptions

__all__ = ["FORMATS", "export_program", "run_export"]


def run_export(
    program: Path,
    export_format: str,
    file: Path,
    options: ExportOptions | None = None,
    *,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Export the program of a folder, then run the written file and the program on the same photos.

    Args:
        program: The program's folder.
        export_format: ``onnx-integer``, ``onnx-qdq`` or ``vectors``.
        file: ``*.onnx``; a folder for ``vectors``.
        options: What may be chosen; the defaults of `ExportOptions` if None.
        out: Where notes go.
        **changes: Fields of `ExportOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit export --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.program.format import load

    options = changed(ExportOptions, options, changes)
    return export_program(load(program), export_format, file, options, out or Feedback())


def export_program(
    program: IntegerProgram, export_format: str, file: Path, options: ExportOptions, out: Feedback
) -> dict[str, Any]:
    """Export a program that is in memory; see :func:`run_export`."""
    from p2vit.program.format import program_sha256

    if options.data == "noise":
        pixels = noise_pixels(program, options.images, options.seed)
    else:
        pixels = first_photos(program, options.data, options.images)
    sha256 = program_sha256(program)
    out.note(f"writing {export_format}, then running it and the program on {options.images} images")
    return write_checked(
        program,
        export_format,
        file,
        options,
        pixels=pixels,
        program_sha256=sha256,
        overwrite=options.overwrite,
    )


def first_photos(program: IntegerProgram, data: str, images: int) -> IntArray:
    """The first photos of a folder or benchmark, uint8 [images, H, W, 3]."""
    from p2vit.data.benchmarks import open_photos

    source = open_photos(data, program.preprocessing)
    return np.concatenate([pixels for pixels, _ in source.evaluation(limit=images)])
