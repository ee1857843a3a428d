"""The table of published and measured ImageNet figures, and the journal of what was measured here."""

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

#: Method → width of its attention codes.
ATTENTION_BITS = {"p2vit": 8, "p2vit-residual8": 8, "p2vit-log2": 4}
#: What an entry of the journal must have; its setting decides what is measured again.
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
    """Results, one JSON object per line, each written when it is known: a run that was killed goes on after it.

    Args:
        path: The file; it need not exist.

    Raises:
        P2vitError: a line is no result. A last line that was cut short is measured again.
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
                    f"{path}, line {number}: is no result of p2vit reproduce (it lacks {', '.join(sorted(missing))}); "
                    "take the line out, or choose another place with -o"
                )
            self.entries.append(entry)

    def find(self, setting: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was measured under a setting, or None."""
        return next((entry for entry in self.entries if entry["setting"] == dict(setting)), None)

    def add(self, entry: dict[str, Any]) -> None:
        """Write a result down, on disk before it counts."""
        if self._cut:
            self._file.cut(self._lines)
            self._cut = ""
        self._file.append(json_text(entry) + "\n")
        self.entries.append(entry)


def table_rows(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Published and measured figures, by model.

    A measured figure stands in a row of its own method: another method's published figure is no measurement.

    Args:
        entries: Of a journal; of several with the same model, bits and method the last counts.

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
    """A row of this machine's own."""
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
    """What identifies photos without reading them: names below the folder, sizes and labels.

    Args:
        photos: The folder.
        numbers: Which of its photos; all of them when None.
    """
    numbers = photos.order() if numbers is None else numbers
    digest = hashlib.sha256(photos.labels_of(numbers).tobytes())
    for path in (photos.paths[number] for number in numbers.tolist()):
        digest.update(os.fsencode(f"{path.relative_to(photos.root).as_posix()} {path.stat().st_size}\n"))
    return digest.hexdigest()[:16]


def check_drawn(calibration: ImageFolder, evaluation: ImageFolder, count: int, seed: int) -> None:
    """Refuse calibration photos that are measured too, also under another name: equal bytes are the same photo.

    Args:
        calibration: Where photos are drawn from.
        evaluation: What is measured.
        count: Photos drawn; twice as many are looked at, since unreadable ones are replaced.
        seed: Of the draw.

    Raises:
        DataError: naming both files.
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
                    "photos. Take them out of one of the two folders"
                )
