"""``p2vit export``: write an integer program as ONNX, as C or as test vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from p2vit.export.run import FORMATS, noise_pixels
from p2vit.export.run import run_export as write_checked
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.inputs import OpenProgram, open_data, open_program
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.export import ExportOptions

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource

__all__ = ["FORMATS", "run_export"]


def run_export(
    program: Path | OpenProgram,
    export_format: str,
    file: Path,
    options: ExportOptions | None = None,
    *,
    photos: "PhotoSource | None" = None,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Export a program, then run the export and the program on the same photos.

    Args:
        program: Folder of the program, or a loaded program.
        export_format: One of `FORMATS`.
        file: The ``.onnx`` file; for ``c`` and ``vectors`` the folder.
        options: Options; the defaults of `ExportOptions` if None.
        photos: Photos to use instead of ``options.data``.
        out: Receives notes.
        **changes: Fields of `ExportOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit export --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.program.format import program_sha256

    options, out = changed(ExportOptions, options, changes), out or Feedback()
    loaded = open_program(program).program
    if options.data == "noise" and photos is None:
        pixels = noise_pixels(loaded, options.images, options.seed)
    else:
        source = open_data(photos or options.data, loaded.preprocessing)
        pixels = np.concatenate([batch for batch, _ in source.evaluation(limit=options.images)])
    sha256 = program_sha256(loaded)
    out.note(f"writing {export_format}, then running it and the program on {options.images} images")
    return write_checked(
        loaded,
        export_format,
        file,
        options,
        pixels=pixels,
        program_sha256=sha256,
        overwrite=options.overwrite,
    )
