"""Gain and bias per channel, for a LayerNorm whose output no linear layer reads."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.linear import unknown_exponent
from p2vit.numerics.operator import INT8, INT16, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import IntArray, Range, clamp_range, shift_round, storage_dtype

#: Smallest and largest shift.
SHIFTS = (-8, 30)


@dataclass(frozen=True, eq=False)
class Affine(Operator):
    """``y = requantize(x · gain + bias)`` per channel.

    These are the gain and bias of a LayerNorm whose output no linear layer reads; otherwise they fold into the linear
    layer. Error: half an output step, plus the rounding of the gain.

    Attributes:
        gain: int16 [C].
        bias: int32 [C], at the exponent of the product.
        shift: int8 [C], right shift from product to output, −8 to 30.
        output_bits: 8 or 16.
        accumulator_exponent: int8 [C], exponent of the product: the input's exponent + the gain's. It is used only by
            the audit; empty if unknown.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    gain: IntArray = field(metadata=INT16)
    bias: IntArray = field(metadata=INT32_ARRAY)
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 8
    accumulator_exponent: IntArray = field(default_factory=unknown_exponent, metadata=INT8)

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        shape = self.gain.shape
        expect(len(shape) == 1 and self.gain.size > 0, f"gain has shape {shape}; expected (channels,)")
        for name in ("bias", "shift"):
            given = getattr(self, name).shape
            expect(given == shape, f"{name} has shape {given}; expected {shape}")
        known = self.accumulator_exponent.shape
        expect(
            known in (shape, (0,)),
            f"accumulator_exponent has shape {known}; expected {self.gain.shape}, or (0,)",
        )
        expect(bool(((self.shift >= SHIFTS[0]) & (self.shift <= SHIFTS[1])).all()), "shift leaves −8..30")
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: int16 [B, ..., C] → [B, ..., C]."""
        (x,) = inputs
        product = x.astype(np.int64) * self.gain.astype(np.int64) + self.bias.astype(np.int64)
        return requantize(product, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[..., C] → the same."""
        (x,) = shapes
        expect(
            len(x) > 0 and x[-1] == self.gain.size,
            f"input has shape {list(x)}; the gain has {self.gain.size} channels",
        )
        return x

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the ranges of the product with the bias, including left shift and rounding half, and of the output."""
        gain, bias = self.gain.astype(np.int64), self.bias.astype(np.int64)
        ends = np.stack([gain * ranges[0][0], gain * ranges[0][1]])
        low, high = ends.min(axis=0) + bias, ends.max(axis=0) + bias
        half = (np.int64(1) << np.maximum(self.shift.astype(np.int64), 0)) >> 1
        reach = (
            int(shift_round(low, self.shift).min()),
            int(shift_round(high, self.shift).max()),
        )
        left = np.maximum(-self.shift.astype(np.int64), 0)
        least = min(int((low << left).min()), int(low.min()), int(ends.min()), int(bias.min()))
        most = max(int((high << left).max()), int((high + half).max()), int(ends.max()), int(bias.max()))
        return Bounds(clamp_range(reach, self.output_bits), {"accumulator": (least, most)})

    @property
    def storage(self) -> np.dtype:
        """Dtype of the output."""
        return storage_dtype(self.output_bits, signed=True)
