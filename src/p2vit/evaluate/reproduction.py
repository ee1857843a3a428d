"""The table of published and measured ImageNet figures, and the journal of the measurements."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.data.folder import ImageFolder
from p2vit.errors import DataError, P2vitError
from p2vit.evaluate.published import FLOAT, MODELS, PUBLISHED
from p2vit.files import LineFile
from p2vit.text import in_strings, json_text, original

#: Method → width of its attention codes in bits; 4-8: each block has 4 or 8.
ATTENTION_BITS = {"p2vit": "4-8", "p2vit-residual8": "4-8", "p2vit-linear": "8", "p2vit-log2": "4"}
#: Keys that an entry of the journal must have. The setting decides whether a figure is measured again.
ENTRY_KEYS = {
    "setting",
    "model",
    "name",
    "bits",
    "method",
    "images",
    "top1",
    "top1_float",
    "agreement",
    "sqnr_db",
}


class Journal:
    """A file of results, one JSON object per line. A run that was killed continues after the last line.

    Args:
        path: The file. It may be missing.

    Raises:
        P2vitError: A line is not a result. An incomplete last line is ignored, and measured again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._file = LineFile(path)
        self._lines, self._cut = self._file.read("a journal")
        for number, line in enumerate(self._lines, start=1):
            try:
                entry = in_strings(json.loads(line), original)
                missing = ENTRY_KEYS - set(entry)
            except (ValueError, TypeError):
                missing = {"JSON"}
            if missing:
                raise P2vitError(
                    f"{path}, line {number}: is not a result of p2vit reproduce (it lacks "
                    f"{', '.join(sorted(missing))}); remove the line, or choose another folder with -o"
                )
            self.entries.append(entry)

    def find(self, setting: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the entry of a setting, or None."""
        return next((entry for entry in self.entries if entry["setting"] == dict(setting)), None)

    def add(self, entry: dict[str, Any]) -> None:
        """Append an entry to the file, then to the entries."""
        if self._cut:
            self._file.cut(self._lines)
            self._cut = ""
        self._file.append(json_text(entry) + "\n")
        self.entries.append(entry)


def table_rows(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return published and measured figures, by model.

    A measured figure has its own row with its own method, because other methods are not comparable.

    Args:
        entries: Entries of a journal. Of entries with the same model, bits and method the last one is used.

    Returns:
        Rows with ``model``, ``name``, ``method``, ``bits``, ``published``, ``published_to``, ``measured``, ``images``,
        ``agreement``, ``sqnr_db``, ``source``.
    """
    latest = {(entry["model"], entry["bits"], entry["method"]): entry for entry in entries}
    labels = [*MODELS, *dict.fromkeys(model for model, _, _ in latest if model not in MODELS)]
    rows = []
    for label in labels:
        own = [entry for (model, _, _), entry in sorted(latest.items()) if model == label]
        name = own[-1]["name"] if own else MODELS[label]
        base = {"model": label, "name": name}
        for figure in (row for row in PUBLISHED if row.model == label):
            of_float = own[-1] if own and figure.method == FLOAT else None
            rows.append(
                {
                    **base,
                    "method": figure.method,
                    "bits": figure.bits or "32/32/32",
                    "published": figure.top1,
                    "published_to": figure.top1_to,
                    "measured": of_float["top1_float"] if of_float else None,
                    "images": of_float["images"] if of_float else None,
                    "agreement": None,
                    "sqnr_db": None,
                    "source": figure.source,
                }
            )
        if own and label not in MODELS:
            of_itself = {**own[-1], "top1": own[-1]["top1_float"], "agreement": None, "sqnr_db": None}
            rows.append(_measured(base, FLOAT, "32/32/32", of_itself))
        for entry in own:
            width = entry["bits"].removeprefix("w").removesuffix("a8")
            attention = ATTENTION_BITS.get(entry["method"], "?")
            rows.append(_measured(base, entry["method"], f"{width}/8/{attention}", entry))
    return rows


def _measured(base: dict[str, Any], method: str, bits: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a figure that was measured on this machine."""
    return {
        **base,
        "method": method,
        "bits": bits,
        "published": None,
        "published_to": None,
        "measured": entry["top1"],
        "images": entry["images"],
        "agreement": entry["agreement"],
        "sqnr_db": entry["sqnr_db"],
        "source": "measured on this machine",
    }


def fingerprint(photos: ImageFolder, numbers: NDArray[np.int64] | None = None) -> str:
    """Return a hash that identifies photos without reading them, from relative paths, sizes and labels.

    Args:
        photos: The folder.
        numbers: Indices of the photos; None for all.
    """
    numbers = photos.order() if numbers is None else numbers
    digest = hashlib.sha256(photos.labels_of(numbers).tobytes())
    for path in (photos.paths[number] for number in numbers.tolist()):
        digest.update(os.fsencode(f"{path.relative_to(photos.root).as_posix()} {path.stat().st_size}\n"))
    return digest.hexdigest()[:16]


def check_drawn(calibration: ImageFolder, evaluation: ImageFolder, count: int, seed: int) -> None:
    """Check that no calibration photo is also measured. Files with equal bytes are the same photo.

    Args:
        calibration: Photos that calibration draws from.
        evaluation: Photos that are measured.
        count: Number of photos to draw. Twice as many are checked, because unreadable photos are replaced.
        seed: Random seed of the draw.

    Raises:
        DataError: A photo is in both; the message names both files.
    """
    measured: dict[int, list[Path]] = {}
    for path in evaluation.paths:
        measured.setdefault(path.stat().st_size, []).append(path)
    for number in calibration.drawn(seed)[: 2 * count].tolist():
        drawn = calibration.paths[number]
        content = None
        for path in measured.get(drawn.stat().st_size, []):
            content = drawn.read_bytes() if content is None else content
            if path.read_bytes() == content:
                raise DataError(
                    f"{drawn}: is the same photo as {path}, which is measured; calibration must not see measured "
                    "photos, so remove them from one of the two folders"
                )
