"""``p2vit run``: labels and logits of photos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.registry import open_backend
from p2vit.errors import DataError, some
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
        program: Its folder.
        photos: Files, and folders whose photos are all taken.
        options: What may be chosen; the defaults of `RunOptions` if None.
        out: Where progress goes.
        **changes: Fields of `RunOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit run --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.ahead import read_ahead
    from p2vit.data.preprocess import read_pixels
    from p2vit.program.format import load, program_sha256

    options, out = changed(RunOptions, options, changes), out or Feedback()
    loaded = load(program)
    files = expand(photos)
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
                outputs += [answer(file, row, loaded.classes) for file, row in zip(good, logits, strict=True)]
            progress("run", done, len(files))
    if not outputs:
        raise DataError(
            f"none of the {len(files)} photos could be read: {some([entry['reason'] for entry in skipped], most=2)}"
        )
    exponent = loaded.tensors[loaded.output].exponent
    return {
        "outputs": outputs,
        "logit_exponent": int(exponent.reshape(-1)[0])
        if len(set(exponent.reshape(-1).tolist())) == 1
        else None,
        "backend": name,
        "program": str(program),
        "program_sha256": program_sha256(loaded),
        "skipped": skipped,
    }


def answer(file: Path, logits: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """One photo's row; the label is the class's name, or its index where the program names none."""
    index = int(np.argmax(logits))
    label = classes[index] if classes else str(index)
    return {"file": str(file), "label": label, "index": index, "logits": [int(value) for value in logits]}


def expand(photos: Sequence[Path]) -> list[Path]:
    """Replace folders by the photos in them, sorted.

    Raises:
        DataError: a file does not exist, or a folder holds no photo.
    """
    from p2vit.data.find import EXTENSIONS

    files: list[Path] = []
    for photo in photos:
        if photo.is_dir():
            found = sorted(
                path for path in photo.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file()
            )
            if not found:
                raise DataError(f"{photo}: no photos here. Photos end in {', '.join(EXTENSIONS)}")
            files += found
        elif photo.exists():
            files.append(photo)
        else:
            raise DataError(f"{photo}: no such file")
    return files
