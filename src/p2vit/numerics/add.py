"""Residual add of two tensors with different exponents."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import IntArray, Range, clamp_range, shift_range, shift_round

#: Largest shift that aligns an operand or re-quantizes the sum.
LARGEST_SHIFT = 15


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """Residual add of two tensors with different exponents.

    ``y = saturate(round(((a << left_a) + (b << left_b)) · 2^-shift))``: both operands are shifted to the finer
    exponent, added exactly, and re-quantized once. If all exponents are equal, all shifts are 0 and the sum is exact.
    Otherwise the error is half an output step.

    Attributes:
        left_a: int8 [C] or [1], left shift of the first operand, 0 to 15.
        left_b: int8 [C] or [1], left shift of the second operand, 0 to 15.
        shift: int8 [C] or [1], right shift of the sum, 0 to 15.
        output_bits: 8 or 16.
    """

    arity: ClassVar[int] = 2
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True), (16, True))

    left_a: IntArray = field(metadata=INT8)
    left_b: IntArray = field(metadata=INT8)
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 16

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        for name in ("left_a", "left_b", "shift"):
            value = getattr(self, name)
            expect(
                value.ndim == 1 and value.size > 0,
                f"{name} has shape {value.shape}; expected (channels,) or (1,)",
            )
            expect(bool(((value >= 0) & (value <= LARGEST_SHIFT)).all()), f"{name} leaves 0..{LARGEST_SHIFT}")
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def compute(self, *inputs: IntArray) -> IntArray:
        """a, b: [B, N, C] → [B, N, C]."""
        a, b = inputs
        total = shift_round(a, -self.left_a.astype(np.int64)) + shift_round(b, -self.left_b.astype(np.int64))
        return requantize(total, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Two equal shapes → the same."""
        a, b = shapes
        expect(a == b, f"the operands have shapes {list(a)} and {list(b)}; expected equal ones")
        widths = {self.left_a.size, self.left_b.size, self.shift.size} - {1}
        expect(
            len(a) > 0 and widths <= {a[-1]},
            f"shifts are given for {sorted(widths)} channels; the operands have {a[-1]}",
        )
        return a

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the ranges of the aligned operands, of their exact sum, and of the saturated output."""
        a = shift_range(ranges[0], -self.left_a.astype(np.int64))
        b = shift_range(ranges[1], -self.left_b.astype(np.int64))
        total = (a[0] + b[0], a[1] + b[1])
        half = (1 << int(self.shift.max())) >> 1
        return Bounds(
            clamp_range(shift_range(total, self.shift), self.output_bits),
            {
                "accumulator": (total[0], total[1] + half),
                "operands": (min(a[0], b[0]), max(a[1], b[1])),
            },
        )
