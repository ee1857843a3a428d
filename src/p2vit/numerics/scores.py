"""Attention scores: queries × keys."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.heads import split_heads
from p2vit.numerics.linear import integer_matmul
from p2vit.numerics.operator import OMITTED, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range


@dataclass(frozen=True, eq=False)
class Scores(Operator):
    """``s = q · kᵀ`` per head: the int32 accumulator without re-quantization. Exact.

    The factor 1/√D is part of the exponent if it is a power of two (D = 16, 64, 256), and is folded into Wq otherwise.
    With windows, the tokens are in window order, and a query attends only to the keys of its own window.

    Attributes:
        heads: H, number of heads.
        head_dim: D, channels per head.
        scale_exponent: Power-of-two part of 1/√D as an exponent, −3 for D = 64. It is not used to compute. The
            exponent of the scores is the sum of the exponents of queries and keys and this one.
        windows: W, number of windows, all of the same size.
    """

    arity: ClassVar[int] = 2
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, True), (8, True))

    heads: int
    head_dim: int
    scale_exponent: int = 0
    windows: int = field(default=1, metadata=OMITTED)

    def validate(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(self.heads >= 1, f"heads is {self.heads}; allowed are 1 and more")
        expect(self.head_dim >= 1, f"head_dim is {self.head_dim}; allowed are 1 and more")
        expect(
            -16 <= self.scale_exponent <= 0, f"scale_exponent is {self.scale_exponent}; allowed are −16 to 0"
        )
        expect(self.windows >= 1, f"windows is {self.windows}; allowed are 1 and more")

    def compute(self, *inputs: IntArray) -> IntArray:
        """q: int8 [B, W·N, H·D], k: int8 [B, W·M, H·D] → int32 [B, H, W·N, M]."""
        q, k = (split_heads(x, self.heads, self.windows) for x in inputs)
        products = integer_matmul(q, k.swapaxes(-1, -2)).astype(np.int32)
        return products.reshape(*products.shape[:2], -1, products.shape[-1])

    def output_shape(self, *shapes: Shape) -> Shape:
        """[W·N, H·D], [W·M, H·D] → [H, W·N, M]."""
        q, k = shapes
        channels = self.heads * self.head_dim
        for name, shape in (("queries", q), ("keys", k)):
            expect(
                len(shape) == 2 and shape[1] == channels,
                f"{name} have shape {list(shape)}; expected [tokens, {channels}]",
            )
            expect(
                shape[0] % self.windows == 0, f"{shape[0]} {name} do not divide into {self.windows} windows"
            )
        return (self.heads, q[0], k[0] // self.windows)

    def output_format(self) -> tuple[int, bool]:
        """int32."""
        return 32, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range of D products of the extreme values."""
        products = [a * b for a in ranges[0] for b in ranges[1]]
        reach = (self.head_dim * min(*products, 0), self.head_dim * max(*products, 0))
        return Bounds(reach, {"accumulator": reach})

    @property
    def macs_per_output(self) -> int:
        """D, the head dim."""
        return self.head_dim
