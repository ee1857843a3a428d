"""The ablation table: every method, and the p2vit method without one of its parts, on the same photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.errors import P2vitError, did_you_mean
from p2vit.evaluate.accuracy import Predict

COLUMNS = ("name", "integer", "top1", "agreement", "sqnr_db", "seconds")


class Remembered:
    """The float model's outputs on fixed photos, computed once for all rows of the table.

    Args:
        batches: Photos and labels of every row: (uint8 [B, H, W, 3], int64 [B]).
        predict: The float model.
    """

    def __init__(
        self, batches: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]], predict: Predict
    ) -> None:
        self.batches = list(batches)
        self._predict = predict
        self._known: dict[int, Any] = {}

    @property
    def outputs(self) -> list[Any]:
        """The float model's outputs for each batch, computed if they are not known yet."""
        return [self(pixels) for pixels, _ in self.batches]

    @staticmethod
    def known(
        batches: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]], outputs: Sequence[Any]
    ) -> "Remembered":
        """Return an object with outputs that were computed before, for example by another process."""

        def missing(pixels: NDArray[np.uint8]) -> Any:
            raise KeyError("these pixels are not one of the batches")

        found = Remembered(batches, missing)
        found._known = {id(pixels): out for (pixels, _), out in zip(found.batches, outputs, strict=True)}
        return found

    def __call__(self, pixels: NDArray[np.uint8]) -> Any:
        """Return the float model's outputs for one of the batches."""
        key = id(pixels)  # the batches live as long as this object, so their ids are unique
        if key not in self._known:
            self._known[key] = self._predict(pixels)
        return self._known[key]


def choose_rows(methods: Sequence[str], pieces: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the names of the rows to measure, in the order of the table.

    Args:
        methods: All methods.
        pieces: All variants without one part.
        wanted: Parts of names, in any case; empty for all rows.

    Raises:
        P2vitError: A part is not in any name.
    """
    names = [*methods, *pieces]
    if not wanted:
        return names
    for part in wanted:
        if not any(part.lower() in name.lower() for name in names):
            raise P2vitError(
                f"--row {part!r}: no such row.{did_you_mean(part, names)} Rows: {'; '.join(names)}"
            )
    return [name for name in names if any(part.lower() in name.lower() for part in wanted)]
