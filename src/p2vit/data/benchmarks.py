"""Photo sets that users name instead of pointing at a folder."""

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

# Name -> (what opens it, what it is).
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

    A benchmark's name wins over a folder of the same name; write ``./elpv`` for the folder.

    Args:
        spec: ``elpv``, ``textile``, ``digits``, ``noise``, or a folder.
        preprocessing: The model's.
        strict: For a folder: refuse photos that cannot be read instead of skipping them.
        labels: For a folder: a file with its labels; see `p2vit.data.labels.read_labels`.

    Returns:
        The photos.

    Raises:
        DataError: neither a benchmark nor a folder with photos, or a label file that does not fit.
        MissingPackageError: the benchmark's package is not installed.
    """
    name = os.fspath(spec)
    if name in BENCHMARKS:
        if labels is not None:
            raise DataError(f"{labels}: the benchmark '{name}' has its own labels; --labels is for folders")
        return BENCHMARKS[name][0](preprocessing)
    if not Path(name).exists() and os.sep not in name:
        raise DataError(
            f"'{name}' is neither a folder nor a benchmark.{did_you_mean(name, BENCHMARKS)} "
            f"Benchmarks: {', '.join(BENCHMARKS)}"
        )
    table = None if labels is None else read_labels(labels)
    return ImageFolder(name, preprocessing, strict=strict, table=table)
