"""The ablation table: every method, and ours with one piece taken away, on the same photos."""

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
        batches: (uint8 [B, H, W, 3], int64 [B]) that every row is measured on.
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
        """What the float model says of each batch; computed now where it is not known yet."""
        return [self(pixels) for pixels, _ in self.batches]

    @staticmethod
    def known(
        batches: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]], outputs: Sequence[Any]
    ) -> "Remembered":
        """Outputs that were computed before, perhaps by another process."""

        def missing(pixels: NDArray[np.uint8]) -> Any:
            raise KeyError("these pixels are none of the batches")

        found = Remembered(batches, missing)
        found._known = {id(pixels): out for (pixels, _), out in zip(found.batches, outputs, strict=True)}
        return found

    def __call__(self, pixels: NDArray[np.uint8]) -> Any:
        """What the float model says of one of the batches."""
        key = id(pixels)  # the batches live as long as this object, so identities are unique
        if key not in self._known:
            self._known[key] = self._predict(pixels)
        return self._known[key]


def choose_rows(methods: Sequence[str], pieces: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Names of the rows to measure, in the table's order.

    Args:
        methods: All methods.
        pieces: All variants with one piece taken away.
        wanted: Parts of names, any case; empty for all.

    Raises:
        P2vitError: a part that stands in no name.
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
