"""Tokens in another order, side by side, or out of nowhere: what windows, shifts, merging and probes need."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import ANY_INTEGER, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range


@dataclass(frozen=True, eq=False)
class GatherTokens(Operator):
    """Output token i is the k input tokens ``index[i, :]`` side by side; −1 stands for ``fill``. Exact.

    One operator for everything that Swin does to the order of its tokens: window partition, cyclic shift,
    padding to whole windows, their inverses with cropping, and patch merging (k = 4). A composition of these
    is one index again.

    Attributes:
        index: int32 [T_out, k], −1 to T_in − 1.
        fill: int8 or int16 [C], the token that −1 stands for, as stored integers.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    index: IntArray = field(metadata=INT32_ARRAY)
    fill: IntArray = field(metadata=ANY_INTEGER)

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
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
        """The input's: 0 bits stands for it."""
        return 0, True

    def bounds(self, *ranges: Range) -> Bounds:
        """The input's, and the fill token's where it is used."""
        low, high = ranges[0]
        if (self.index < 0).any():
            low, high = min(low, int(self.fill.min())), max(high, int(self.fill.max()))
        return Bounds((low, high), {})


@dataclass(frozen=True, eq=False)
class ConstantTokens(Operator):
    """Tokens that do not depend on the image, such as the query of an attention pooling head. Exact.

    The input is read for the number of images alone.

    Attributes:
        tokens: int8 or int16 [T, C].
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    tokens: IntArray = field(metadata=ANY_INTEGER)

    def validate(self) -> None:
        """Check the shape.

        Raises:
            ValueError: it is not [tokens, channels], or neither int8 nor int16.
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
        """Anything → [T, C]."""
        return (self.tokens.shape[0], self.tokens.shape[1])

    def output_format(self) -> tuple[int, bool]:
        """Signed, 8 or 16 bits."""
        return 8 * self.tokens.itemsize, True

    def bounds(self, *ranges: Range) -> Bounds:
        """The tokens' own."""
        return Bounds((int(self.tokens.min()), int(self.tokens.max())), {})
