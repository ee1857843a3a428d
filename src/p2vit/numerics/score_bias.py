"""Relative position bias and the mask of shifted windows, added to the scores before softmax."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range


def no_regions() -> IntArray:
    """Return empty regions: no key is masked."""
    return np.zeros((0, 0), dtype=np.int8)


def no_masked() -> IntArray:
    """Return an empty array of masked scores."""
    return np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class ScoreBias(Operator):
    """``y = s + bias``, or a constant if query and key are in different regions of a window. Exact.

    The bias has the exponent of the scores. The score of a masked key is so far below all others that its softmax code
    has weight exactly 0: always for ``linear`` codes, and for ``log2`` codes if ``AttentionValues.guard`` is at most
    14. ``audit`` proves it.

    Attributes:
        bias: int32 [H, n, n], per head, query and key of a window.
        regions: int8 [W, n], region of each token of each window. Tokens of different regions do not attend to each
            other. Empty without a mask.
        masked: int32 [H], score of a masked key, per head; empty without regions.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((32, True),)

    bias: IntArray = field(metadata=INT32_ARRAY)
    regions: IntArray = field(default_factory=no_regions, metadata=INT8)
    masked: IntArray = field(default_factory=no_masked, metadata=INT32_ARRAY)

    def validate(self) -> None:
        """Check that the shapes fit together.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        shape = self.bias.shape
        expect(
            len(shape) == 3 and self.bias.size > 0 and shape[1] == shape[2],
            f"bias has shape {shape}; expected [heads, queries, keys] of a window",
        )
        if self.regions.size or self.masked.size:
            expect(
                self.regions.ndim == 2 and self.regions.shape[1] == shape[1] and self.regions.size > 0,
                f"regions has shape {self.regions.shape}; expected [windows, {shape[1]}]",
            )
            expect(
                self.masked.shape == shape[:1], f"masked has shape {self.masked.shape}; expected {shape[:1]}"
            )

    @property
    def mask(self) -> IntArray | None:
        """Mask, bool [W, n, n]: true if query and key are in different regions; None without regions."""
        if not self.regions.size:
            return None
        return self.regions[:, :, None] != self.regions[:, None, :]

    def compute(self, *inputs: IntArray) -> IntArray:
        """scores: int32 [B, H, W·n, n] → the same shape."""
        (scores,) = inputs
        batch, heads, rows, keys = scores.shape
        windows = scores.astype(np.int64).reshape(batch, heads, rows // keys, keys, keys)
        windows = windows + self.bias.astype(np.int64)[:, None]
        if self.mask is not None:
            windows = np.where(self.mask, self.masked.astype(np.int64)[:, None, None, None], windows)
        return windows.reshape(scores.shape).astype(np.int32)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[H, W·n, n] → the same."""
        (scores,) = shapes
        heads, keys = self.bias.shape[0], self.bias.shape[2]
        expect(
            len(scores) == 3 and scores[0] == heads and scores[2] == keys and scores[1] % keys == 0,
            f"input has shape {list(scores)}; the bias wants [{heads} heads, windows · {keys}, {keys}]",
        )
        if self.regions.size:
            expect(
                scores[1] == self.regions.size,
                f"input has {scores[1]} queries; there are regions for {self.regions.size}",
            )
        return scores

    def output_format(self) -> tuple[int, bool]:
        """int32."""
        return 32, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range over the sums with the actual bias and over the masked scores."""
        low, high = ranges[0][0] + int(self.bias.min()), ranges[0][1] + int(self.bias.max())
        if self.regions.size:
            low, high = min(low, int(self.masked.min())), max(high, int(self.masked.max()))
        return Bounds((low, high), {"accumulator": (low, high)})
