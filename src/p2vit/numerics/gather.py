"""Gather tokens by an index (windows, shifts, patch merging), and insert constant tokens (attention pooling)."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import ANY_INTEGER, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range


@dataclass(frozen=True, eq=False)
class GatherTokens(Operator):
    """Output token i is the concatenation of the k input tokens ``index[i, :]``; −1 means ``fill``. Exact.

    This operator covers all token rearrangements of Swin: window partition, cyclic shift, padding, their inverses with
    cropping, and patch merging (k = 4). Several of them in a row are again one index.

    Attributes:
        index: int32 [T_out, k], −1 to T_in − 1.
        fill: int8 or int16 [C], stored integers of the token for index −1.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    index: IntArray = field(metadata=INT32_ARRAY)
    fill: IntArray = field(metadata=ANY_INTEGER)

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(
            self.index.ndim == 2 and self.index.size > 0,
            f"index has shape {self.index.shape}; expected [tokens, tokens side by side]",
        )
        expect(int(self.index.min()) >= -1, f"index goes down to {self.index.min()}; allowed are −1 and more")
        expect(
            self.fill.ndim == 1 and self.fill.size > 0,
            f"fill has shape {self.fill.shape}; expected (channels,)",
        )
        expect(
            self.fill.dtype in (np.int8, np.int16), f"fill is {self.fill.dtype}; allowed are int8 and int16"
        )

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, T_in, C] → [B, T_out, k·C]."""
        (x,) = inputs
        fill = np.broadcast_to(self.fill.astype(x.dtype), (x.shape[0], 1, x.shape[2]))
        padded = np.concatenate([x, fill], axis=1)  # the index −1 reads the last token
        return padded[:, self.index].reshape(x.shape[0], self.index.shape[0], -1)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[T_in, C] → [T_out, k·C]."""
        (x,) = shapes
        expect(
            len(x) == 2 and x[1] == self.fill.size,
            f"input has shape {list(x)}; the fill token has {self.fill.size} channels",
        )
        expect(int(self.index.max()) < x[0], f"index goes up to {self.index.max()}; there are {x[0]} tokens")
        return (self.index.shape[0], self.index.shape[1] * x[1])

    def output_format(self) -> tuple[int, bool]:
        """Return (0, True): 0 bits means the format of the input."""
        return 0, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range of the input, and of the fill token if it is used."""
        low, high = ranges[0]
        if (self.index < 0).any():
            low, high = min(low, int(self.fill.min())), max(high, int(self.fill.max()))
        return Bounds((low, high), {})


@dataclass(frozen=True, eq=False)
class ConstantTokens(Operator):
    """Tokens that do not depend on the image, such as the query of an attention pooling head. Exact.

    Only the batch size of the input is used.

    Attributes:
        tokens: int8 or int16 [T, C].
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    tokens: IntArray = field(metadata=ANY_INTEGER)

    def validate(self) -> None:
        """Check the shape.

        Raises:
            ValueError: The array is not [tokens, channels], or is neither int8 nor int16.
        """
        expect(
            self.tokens.ndim == 2 and self.tokens.size > 0,
            f"tokens has shape {self.tokens.shape}; expected [tokens, channels]",
        )
        expect(
            self.tokens.dtype in (np.int8, np.int16),
            f"tokens is {self.tokens.dtype}; allowed are int8 and int16",
        )

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, ...] → [B, T, C]."""
        return np.repeat(self.tokens[None], inputs[0].shape[0], axis=0)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Any shape → [T, C]."""
        return (self.tokens.shape[0], self.tokens.shape[1])

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, 8 or 16 bits."""
        return 8 * self.tokens.itemsize, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range of the tokens."""
        return Bounds((int(self.tokens.min()), int(self.tokens.max())), {})
