"""Linear layers: int8 × int8 (or int4) products, int32 accumulation, one shift per output channel."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import INT32, IntArray, Range, clamp_range, int_range, shift_round, storage_dtype

#: Largest shift to the left and to the right.
LARGEST_SHIFT = 31


def integer_matmul(a: IntArray, b: IntArray) -> IntArray:
    """Multiply matrices in int32, as a MAC array does. The caller must have proved that the result fits int32.

    NumPy's ``matmul`` of integers is a plain loop. ``einsum`` on rows is 5 to 12 times faster.

    Args:
        a: Integers [..., M, K].
        b: Integers [..., K, N]; the leading dimensions broadcast with those of ``a``.

    Returns:
        int32 [..., M, N].
    """
    rows, columns = a.astype(np.int32), b.astype(np.int32, order="C")
    return np.ascontiguousarray(np.einsum("...mk,...kn->...mn", rows, columns, dtype=np.int32))


def unknown_exponent() -> IntArray:
    """Return an empty array, which means that the accumulator exponents are unknown."""
    return np.zeros(0, dtype=np.int8)


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """``y = requantize(x · Wᵀ + b)``.

    Widths: x has up to 8 bits, signed; W has 2 to 8 bits; the accumulator is int32, which `bounds` proves from the
    actual weights; y has ``output_bits``. Error: half an output step, or none if ``output_bits`` is 32.

    An offset of the input is absorbed by the bias, and exponents per input channel are absorbed by the weights, before
    these are rounded.

    Attributes:
        weight: int8 [N, K].
        bias: int32 [N], at the exponent of the accumulator.
        shift: int8 [N], right shift from accumulator to output; zeros if ``output_bits`` is 32.
        weight_bits: Width of the weights, 2 to 8.
        output_bits: 8 or 16, or 32 for the accumulator itself (logits).
        accumulator_exponent: int8 [N], exponent of the accumulator: the exponent of the weights, with the input's
            absorbed. It is not needed to compute; ``audit`` proves the shift from it. Empty if unknown, and then the
            audit fails.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, True),)

    weight: IntArray = field(metadata=INT8)
    bias: IntArray = field(metadata=INT32_ARRAY)
    shift: IntArray = field(metadata=INT8)
    weight_bits: int = 8
    output_bits: int = 8
    accumulator_exponent: IntArray = field(default_factory=unknown_exponent, metadata=INT8)

    def validate(self) -> None:
        """Check shapes, widths and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(self.weight.ndim == 2, f"weight has shape {self.weight.shape}; expected [outputs, inputs]")
        outputs = (self.weight.shape[0],)
        expect(self.bias.shape == outputs, f"bias has shape {self.bias.shape}; expected {outputs}")
        expect(self.shift.shape == outputs, f"shift has shape {self.shift.shape}; expected {outputs}")
        expect(2 <= self.weight_bits <= 8, f"weight_bits is {self.weight_bits}; allowed are 2 to 8")
        expect(
            self.output_bits in (8, 16, 32), f"output_bits is {self.output_bits}; allowed are 8, 16 and 32"
        )
        low, high = int_range(self.weight_bits, signed=True)
        expect(self.weight.size > 0, f"weight has shape {self.weight.shape}; both sides must be 1 or more")
        if self.weight_bits < 8:  # int8 holds all of 8 bits
            least, most = int(self.weight.min()), int(self.weight.max())
            expect(
                low <= least and most <= high,
                f"weight spans {least}..{most}; {self.weight_bits} bits hold {low}..{high}",
            )
        expect(
            int(np.abs(self.shift.astype(np.int64)).max()) <= LARGEST_SHIFT,
            f"shift leaves −{LARGEST_SHIFT}..{LARGEST_SHIFT}",
        )
        known = self.accumulator_exponent.shape
        expect(
            known in (outputs, (0,)), f"accumulator_exponent has shape {known}; expected {outputs}, or (0,)"
        )
        if self.output_bits == 32:
            expect(not self.shift.any(), "shift must be 0 where the output is the int32 accumulator")

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, ..., K] → [B, ..., N]."""
        (x,) = inputs
        accumulator = integer_matmul(x, self.weight.T) + self.bias.astype(np.int32)
        if self.output_bits == 32:
            return accumulator.astype(np.int32)
        return requantize(accumulator, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[..., K] → [..., N]."""
        (x,) = shapes
        expect(
            len(x) > 0 and x[-1] == self.weight.shape[1],
            f"input has shape {list(x)}; the weight wants {self.weight.shape[1]} channels last",
        )
        return (*x[:-1], self.weight.shape[0])

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def accumulator_ranges(self, limits: Range) -> tuple[IntArray, IntArray]:
        """Return the lowest and the highest accumulator of each output channel, int64 [N] each.

        Positive and negative terms are summed separately. The range therefore covers all partial sums, in any order of
        summation and with the bias at any position.
        """
        w = self.weight.astype(np.int64)
        ends = np.stack([w * limits[0], w * limits[1]])
        bias = self.bias.astype(np.int64)
        low = np.minimum(ends.min(axis=0), 0).sum(axis=1) + np.minimum(bias, 0)
        high = np.maximum(ends.max(axis=0), 0).sum(axis=1) + np.maximum(bias, 0)
        return low, high

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the ranges of the accumulator, including the rounding half, and of the saturated output."""
        low, high = self.accumulator_ranges(ranges[0])
        accumulator = (int(low.min()), int(high.max()))
        if self.output_bits == 32:
            return Bounds(accumulator, {"accumulator": accumulator})
        half = np.where(self.shift > 0, np.int64(1) << np.maximum(self.shift.astype(np.int64) - 1, 0), 0)
        left = np.maximum(-self.shift.astype(np.int64), 0)
        rounded = (int((low << left).min()), int(((high << left) + half).max()))
        reach = (int(shift_round(low, self.shift).min()), int(shift_round(high, self.shift).max()))
        return Bounds(
            clamp_range(reach, self.output_bits),
            {"accumulator": (min(accumulator[0], rounded[0]), max(accumulator[1], rounded[1]))},
        )

    @property
    def macs_per_output(self) -> int:
        """K, the number of inputs."""
        return int(self.weight.shape[1])


def absorb_offset(weight: IntArray, bias: IntArray, offset: IntArray | int) -> IntArray:
    """Return the bias b' for which ``x · Wᵀ + b'`` equals ``(x + offset) · Wᵀ + b``. Exact.

    Args:
        weight: int8 [N, K].
        bias: int32 [N].
        offset: Constant that is added to every stored input: one number, or one per input [K].

    Returns:
        int32 [N].

    Raises:
        ValueError: The result does not fit int32.
    """
    wide = bias.astype(np.int64) + (weight.astype(np.int64) * np.asarray(offset, np.int64)).sum(axis=1)
    expect(
        bool((wide >= INT32[0]).all() and (wide <= INT32[1]).all()),
        "bias leaves int32 once the offset is absorbed",
    )
    return wide.astype(storage_dtype(32, signed=True))
