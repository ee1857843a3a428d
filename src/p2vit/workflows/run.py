"""``p2vit run``: classify photos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.registry import open_backend
from p2vit.errors import DataError, some
from p2vit.workflows.answers import answer, kind_of
from p2vit.workflows.class_names import given_names
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import RunOptions
from p2vit.workflows.threads import thread_count, torch_threads

BATCH = 8


def run_photos(
    program: Path,
    photos: Sequence[Path],
    options: RunOptions | None = None,
    *,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Run photos through a program.

    Args:
        program: Folder of the program.
        photos: Files and folders; all photos of a folder are used.
        options: Options; the defaults of `RunOptions` if None.
        out: Receives progress.
        **changes: Fields of `RunOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit run --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.data.ahead import read_ahead
    from p2vit.data.preprocess import read_pixels
    from p2vit.program.format import load, program_sha256

    options, out = changed(RunOptions, options, changes), out or Feedback()
    loaded = load(program)
    kind = kind_of(loaded)
    outputs_of_head = 0 if kind == "feature" else loaded.tensors[loaded.output].shape[-1]
    classes = given_names(options.class_names, options.class_index, outputs_of_head) or loaded.classes
    files, left_out = expand(photos)
    for note in left_out:
        out.note(note)
    name, executor = open_backend(options.backend, loaded, options.threads, out.warn)
    torch_threads(thread_count(options.threads))
    outputs: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []

    def batches() -> Iterator[tuple[int, list[Path], list[np.ndarray]]]:
        for start in range(0, len(files), BATCH):
            good, pixels = [], []
            for file in files[start : start + BATCH]:
                try:
                    pixels.append(read_pixels(file, loaded.preprocessing))
                    good.append(file)
                except DataError as error:
                    if options.strict:
                        raise
                    skipped.append({"file": str(file), "reason": str(error)})
            yield min(start + BATCH, len(files)), good, pixels

    with out.progress() as progress:
        for done, good, pixels in read_ahead(batches()):
            if good:
                logits = executor.run(np.stack(pixels))[loaded.output].reshape(len(good), -1)
                outputs += [answer(file, row, kind, classes) for file, row in zip(good, logits, strict=True)]
            progress("run", done, len(files))
    if not outputs:
        raise DataError(
            f"none of the {len(files)} photos could be read: {some([entry['reason'] for entry in skipped], most=2)}"
        )
    exponent = loaded.tensors[loaded.output].exponent
    return {
        "outputs": outputs,
        "output_is": kind,
        "logit_exponent": int(exponent.reshape(-1)[0])
        if len(set(exponent.reshape(-1).tolist())) == 1
        else None,
        "backend": name,
        "program": str(program),
        "program_sha256": program_sha256(loaded),
        "skipped": skipped,
        "notes": left_out,
    }


def expand(photos: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Replace folders by the photos in them, sorted.

    A file given by name is read as a photo, whatever its extension. In folders the extension decides.

    Returns:
        (the photos, notes about other files in the folders).

    Raises:
        DataError: A file does not exist, or a folder contains no photo.
    """
    from p2vit.data.find import find_photos
    from p2vit.data.photo_file import check_there

    files: list[Path] = []
    notes: list[str] = []
    for photo in photos:
        if photo.is_dir():
            found, left_out = find_photos(photo)
            files += found
            notes += left_out
        else:
            check_there(photo)
            files.append(photo)
    return files, notes
