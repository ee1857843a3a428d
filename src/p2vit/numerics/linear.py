"""Linear layers: int8 × int8 (or int4) products, int32 accumulation, one shift per output channel."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import INT32, IntArray, Range, clamp_range, int_range, shift_round, storage_dtype

#: Largest shift to either side.
LARGEST_SHIFT = 31


def integer_matmul(a: IntArray, b: IntArray) -> IntArray:
    """Matrix product in int32, as a MAC array does it; whoever calls it has proved that it fits.

    NumPy's ``matmul`` of integers is a plain loop; the same sum written as ``einsum`` on rows is 5 to 12 times
    faster.

    Args:
        a: Integers [..., M, K].
        b: Integers [..., K, N], broadcastable to ``a`` in front.
    """
    rows, columns = a.astype(np.int32), b.astype(np.int32, order="C")
    return np.ascontiguousarray(np.einsum("...mk,...kn->...mn", rows, columns, dtype=np.int32))


def unknown_exponent() -> IntArray:
    """No exponents: what stands for "not recorded"."""
    return np.zeros(0, dtype=np.int8)


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """``y = requantize(x · Wᵀ + b)``.

    Widths: x up to 8 bits signed; W 2..8 bits; accumulator int32, proved from the actual weights by
    :meth:`bounds`; y ``output_bits``. Error against exact arithmetic: half an output step, or none where
    ``output_bits`` is 32.

    An input with an offset or with an exponent per channel needs nothing here: the bias absorbs the one, the
    weights the other, before they are rounded.

    Attributes:
        weight: int8 [N, K].
        bias: int32 [N], at the accumulator's exponent.
        shift: int8 [N], right shift from accumulator to output; zeros where ``output_bits`` is 32.
        weight_bits: Width of the weights, 2 to 8.
        output_bits: 8 or 16, or 32 for the accumulator itself (logits).
        accumulator_exponent: int8 [N], what a 1 in the accumulator stands for: the weights' exponent, with
            the input's absorbed. Computing does not need it; ``audit`` proves the shift from it. Empty if
            unknown, which no audit passes.
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
            ValueError: naming the parameter, its value and what is allowed.
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
        """Signed, ``output_bits`` wide."""
        return self.output_bits, True

    def accumulator_ranges(self, limits: Range) -> tuple[IntArray, IntArray]:
        """Lowest and highest accumulator of each output channel, over every order of summation.

        The bias is counted in from the start or at the end alike: the positive and the negative terms are
        summed apart, so that no partial sum can leave the range either.
        """
        w = self.weight.astype(np.int64)
        ends = np.stack([w * limits[0], w * limits[1]])
        bias = self.bias.astype(np.int64)
        low = np.minimum(ends.min(axis=0), 0).sum(axis=1) + np.minimum(bias, 0)
        high = np.maximum(ends.max(axis=0), 0).sum(axis=1) + np.maximum(bias, 0)
        return low, high

    def bounds(self, *ranges: Range) -> Bounds:
        """Accumulator, with the rounding half, from the actual weights; output after saturation."""
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
        """K."""
        return int(self.weight.shape[1])


def absorb_offset(weight: IntArray, bias: IntArray, offset: IntArray | int) -> IntArray:
    """Bias that makes ``(x + offset) · Wᵀ + b`` out of ``x · Wᵀ + b'``: exact, nothing to do at run time.

    Args:
        weight: int8 [N, K].
        bias: int32 [N].
        offset: Constant that every input stands for beyond its stored integer: one, or one per input [K].

    Raises:
        ValueError: the result leaves int32.
    """
    wide = bias.astype(np.int64) + (weight.astype(np.int64) * np.asarray(offset, np.int64)).sum(axis=1)
    expect(
        bool((wide >= INT32[0]).all() and (wide <= INT32[1]).all()),
        "bias leaves int32 once the offset is absorbed",
    )
    return wide.astype(storage_dtype(32, signed=True))
