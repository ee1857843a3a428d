"""What a report measures besides accuracy: the speed of program and float model, and thumbnails of photos."""

import base64
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from p2vit.engine.registry import open_backend
from p2vit.errors import DataError
from p2vit.evaluate.accuracy import executor_predict
from p2vit.program.graph import IntegerProgram
from p2vit.workflows.float_model import float_predict

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource
    from p2vit.models.loaded import FloatModel

#: Photos and repetitions of the measurement of speed; the fastest repetition counts.
SPEED_PHOTOS, SPEED_REPEATS = 4, 3
#: Longest side of a thumbnail, in pixels.
THUMBNAIL = 96


def today() -> str:
    """Return the date in UTC, or that of ``SOURCE_DATE_EPOCH``, by which builds are made reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return now.date().isoformat()


def measure_speed(
    program: IntegerProgram, photos: "PhotoSource", float_model: "FloatModel"
) -> dict[str, Any] | None:
    """Measure milliseconds per photo of the program and of the float model in torch, each with one thread.

    Args:
        program: The program.
        photos: The first of these photos that can be read are used.
        float_model: The float model.

    Returns:
        ``ms`` and ``ms_float`` (milliseconds per photo), ``images`` (photos of a batch), ``threads``, ``backend``.
        None if no photo can be read.
    """
    import torch

    readable = []
    for number in photos.order(2 * SPEED_PHOTOS):
        with suppress(DataError):
            readable.append(photos.photo(int(number)))
    if not readable:
        return None
    pixels = np.stack(readable[:SPEED_PHOTOS])
    backend, executor = open_backend("auto", program, 1, lambda _: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {
            "ms": round(_fastest(lambda: executor_predict(program, executor)(pixels)) / len(pixels), 3),
            "ms_float": round(_fastest(lambda: float_predict(float_model)(pixels)) / len(pixels), 3),
            "images": len(pixels),
            "threads": 1,
            "backend": backend,
        }
    finally:
        torch.set_num_threads(threads)


def _fastest(call: Callable[[], object]) -> float:
    """Return the milliseconds of the fastest of some calls."""
    best = float("inf")
    for _ in range(SPEED_REPEATS):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1000 * best


def thumbnails(photos: "PhotoSource", rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return small pictures of photos, as the model sees them, as data addresses for HTML.

    Args:
        photos: The photos.
        rows: Rows with the ``number`` of each photo.
    """
    found = []
    for row in rows:
        picture = Image.fromarray(photos.photo(int(row["number"])))
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        file = io.BytesIO()
        picture.save(file, "PNG")
        found.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return found
