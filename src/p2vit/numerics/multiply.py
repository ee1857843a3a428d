"""Product of two tensors, number by number: the gate of a gated MLP."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, INT16, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import IntArray, Range, clamp_range, shift_range

#: Largest right shift of the product.
LARGEST_SHIFT = 30


@dataclass(frozen=True, eq=False)
class Multiply(Operator):
    """``y = requantize((a + offset) · b)``, number by number: activation times linear branch (SwiGLU, GEGLU).

    Widths: a up to 8 bits and its offset up to 16, b up to 16 bits signed; the product fits 31 bits and its
    rounding half int32. Error: half an output step.

    Source: N. Shazeer, GLU Variants Improve Transformer (2020), equation 6.

    Attributes:
        offset: int16 [C] or [1], what the stored integers of a leave out.
        shift: int8 [C] or [1], right shift of the product, 0 to 30.
        output_bits: 8 or 16.
    """

    arity: ClassVar[int] = 2
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, True), (16, True))

    offset: IntArray = field(metadata=INT16)
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 8

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """
        for name in ("offset", "shift"):
            value = getattr(self, name)
            expect(
                value.ndim == 1 and value.size > 0,
                f"{name} has shape {value.shape}; expected (channels,) or (1,)",
            )
        expect(
            bool(((self.shift >= 0) & (self.shift <= LARGEST_SHIFT)).all()),
            f"shift leaves 0..{LARGEST_SHIFT}",
        )
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def compute(self, *inputs: IntArray) -> IntArray:
        """a: int8 [B, ..., C], b: int16 [B, ..., C] → [B, ..., C]."""
        a, b = (x.astype(np.int64) for x in inputs)
        return requantize((a + self.offset.astype(np.int64)) * b, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Two equal shapes → the same."""
        a, b = shapes
        expect(a == b, f"the operands have shapes {list(a)} and {list(b)}; expected equal ones")
        widths = {self.offset.size, self.shift.size} - {1}
        expect(
            len(a) > 0 and widths <= {a[-1]},
            f"parameters are given for {sorted(widths)} channels; the operands have {a[-1]}",
        )
        return a

    def output_format(self) -> tuple[int, bool]:
        """Signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """The gate with its offset, and the product with the rounding half."""
        offset = self.offset.astype(np.int64)
        gate = (ranges[0][0] + int(offset.min()), ranges[0][1] + int(offset.max()))
        products = [x * y for x in gate for y in ranges[1]]
        reach = (min(products), max(products))
        half = (1 << int(self.shift.max())) >> 1
        return Bounds(
            clamp_range(shift_range(reach, self.shift), self.output_bits),
            {"accumulator": (reach[0], reach[1] + half), "gate": gate},
        )
