"""Named photo sets (benchmarks), and opening a photo set by name or folder."""

import os
from collections.abc import Callable
from pathlib import Path

from p2vit.data.digits import digits
from p2vit.data.elpv import elpv
from p2vit.data.folder import ImageFolder
from p2vit.data.labels import read_labels
from p2vit.data.noise import NoisePhotos
from p2vit.data.source import PhotoSource
from p2vit.data.synthetic import SyntheticPhotos
from p2vit.data.textile import textile
from p2vit.errors import DataError, did_you_mean
from p2vit.program.preprocessing import Preprocessing

# Name -> (function that opens it, description).
BENCHMARKS: dict[str, tuple[Callable[[Preprocessing], PhotoSource], str]] = {
    "elpv": (elpv, "2,624 electroluminescence photos of solar cells, functional or defective"),
    "textile": (textile, "2,000 photos of simulated fabric: global, local or no defect"),
    "digits": (digits, "1,797 handwritten digits of 8 × 8 pixels"),
    "noise": (NoisePhotos, "seeded random photos without labels"),
    "none": (SyntheticPhotos, "no real photo: seeded synthetic photos, to quantize without data"),
}


def open_photos(
    spec: str | Path, preprocessing: Preprocessing, *, strict: bool = False, labels: Path | None = None
) -> PhotoSource:
    """Open a named benchmark or a folder.

    A benchmark has priority over a folder of the same name; write ``./elpv`` for the folder.

    Args:
        spec: ``elpv``, ``textile``, ``digits``, ``noise``, or a folder.
        preprocessing: Preprocessing of the model.
        strict: For a folder: whether a photo that cannot be read is an error; otherwise it is skipped.
        labels: For a folder: file with its labels, see `p2vit.data.labels.read_labels`.

    Returns:
        The photos.

    Raises:
        DataError: There is no such benchmark or folder, the folder has no photos, or the label file does not fit.
        MissingPackageError: The benchmark's package is not installed.
    """
    name = os.fspath(spec)
    if name in BENCHMARKS:
        if labels is not None:
            raise DataError(f"--labels {labels}: the benchmark '{name}' has its own labels; omit --labels")
        return BENCHMARKS[name][0](preprocessing)
    if not Path(name).exists() and os.sep not in name:
        raise DataError(
            f"'{name}' is neither a folder nor a benchmark.{did_you_mean(name, BENCHMARKS)} "
            f"Benchmarks: {', '.join(BENCHMARKS)}"
        )
    table = None if labels is None else read_labels(labels)
    return ImageFolder(name, preprocessing, strict=strict, table=table)
