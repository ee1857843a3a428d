"""LayerNorm in int32: exact centring, block normalisation, and a table for the inverse square root.

If linear layers read a LayerNorm, its gain and bias fold into them exactly. What remains is the normalisation,
re-quantized by one shift per channel. An exponent per output channel is the PoT-aware smoothing of P²-ViT (section on
LayerNorm → linear edges); the next weights absorb it.
"""

from dataclasses import dataclass, field
from functools import cache
from math import isqrt
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, UINT16, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import (
    IntArray,
    Range,
    bit_length,
    clamp_range,
    saturate,
    shift_range,
    shift_round,
)

#: After block normalisation, the magnitude of a centred value is at most 2^14, so it fits int16.
CENTRED_BITS = 14
#: A sum of squares is shifted by an even number of bits to a mantissa of 29 or 30 bits, in [2^28, 2^30).
MANTISSA_BITS = 29
#: The top bits of the mantissa are the index of the table, 256..1023. Its entries have up to 15 bits.
TABLE_FIRST, TABLE_LAST, INDEX_SHIFT, ENTRY_BITS = 256, 1023, 20, 15
#: The sum of squares is at most 2^30, the epsilon at most 2^29.
SQUARES_BITS, EPSILON_BITS = 30, 29
#: Limits of the parameters. j can be as low as −14, so with shifts of at least 14, step 5 never shifts left.
LARGEST_CHANNELS, SHIFTS, EPSILON_SHIFTS = 1 << 14, (14, 30), (-CENTRED_BITS, 31)


def squares_shift(channels: int) -> int:
    """Return the smallest right shift of the centred values for which the sum of their squares is at most 2^30."""
    shift = 0
    while channels << (2 * (CENTRED_BITS - shift)) > 1 << SQUARES_BITS:
        shift += 1
    return shift


@cache
def rsqrt_table(channels: int) -> tuple[IntArray, int]:
    """Make the table of ``√C / √w`` for the mantissa w of a sum of C squares.

    Entry i is for w in [(256+i)·2^20, (257+i)·2^20) and exact at the middle of that interval. Its relative error is at
    most 2^-10 + 2^-13, including rounding.

    Args:
        channels: C, number of normalised channels.

    Returns:
        uint16 [768], and the number of fraction bits K: entry · 2^-K ≈ √C / √w. The largest entry has 15 bits.
    """

    def entry(index: int, fraction: int) -> int:
        # √(C · 2^2K / w) with w = (2·index + 1) · 2^19, computed with one more bit to round to nearest.
        return (isqrt((channels << (2 * fraction + 2)) // ((2 * index + 1) << (INDEX_SHIFT - 1))) + 1) >> 1

    fraction = 0
    while entry(TABLE_FIRST, fraction + 1) < 1 << ENTRY_BITS:
        fraction += 1
    table = [entry(index, fraction) for index in range(TABLE_FIRST, TABLE_LAST + 1)]
    entries = np.array(table, dtype=np.uint16)
    entries.flags.writeable = False
    return entries, fraction


@dataclass(frozen=True, eq=False)
class LayerNorm(Operator):
    """``y_i = requantize((x_i − mean) / √(variance + ε))``, the normalised value at exponent ``e_i``.

    With ``a = x << input_shift`` and C channels, per token:

    1. ``c_i = C·a_i − Σa``: centring without a division, exact; int32 for 16-bit a and C ≤ 2^14.
    2. ``d_i = c_i · 2^-k``, k such that ``max|d| ≤ 2^14``, but at least ``epsilon_shift``; int16.
    3. ``v = Σ (d_i · 2^-t)² + ε``: at most 2^30 + 2^29; int32. t = :func:`squares_shift`.
    4. ``w = v · 2^-2j`` in [2^28, 2^30); ``r = table[w >> 20]``, 15 bits.
    5. ``y_i = requantize(d_i · r, shift_i + j)``: product at most 2^29; int32.

    Error without the rounding of the output, for a token with ``max|d| ≥ 2^13``. This holds for every token unless its
    variance is so small that ε matters; then 2^t · √v of step 3 replaces max|d|.

    * Step 2: √C · 2^-14, absolute.
    * Step 3: (1 + √C) · 2^(t−15) + C · 2^(2t−29), relative, if all squares are rounded in the same direction. This
      worst case is 2^-6.6 for C = 384. On random tokens, with or without outliers, the error is below 2^-9.6.
    * Table: 2^-10 + 2^-13, relative.

    Attributes:
        channels: C, 2 to 16384.
        input_shift: int8 [C], left shifts that align an input with exponents per channel; zeros otherwise.
        table: uint16 [768] of `rsqrt_table`.
        shift: int8 [C], right shift of step 5 for j = 0: fraction bits of the table + t + exponent of the output.
        epsilon: ε for k = ``epsilon_shift``, in units of v, 0 to 2^29.
        epsilon_shift: Smallest k. It limits the amplification of a token whose variance is small against ε.
        input_bits: Width of the aligned input, up to 16.
        output_bits: 8 or 16.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    channels: int
    input_shift: IntArray = field(metadata=INT8)
    table: IntArray = field(metadata=UINT16)
    shift: IntArray = field(metadata=INT8)
    epsilon: int
    epsilon_shift: int
    input_bits: int = 16
    output_bits: int = 8

    def validate(self) -> None:
        """Check shapes, widths and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(
            2 <= self.channels <= LARGEST_CHANNELS,
            f"channels is {self.channels}; allowed are 2 to {LARGEST_CHANNELS}",
        )
        for name in ("input_shift", "shift"):
            shape = getattr(self, name).shape
            expect(shape == (self.channels,), f"{name} has shape {shape}; expected ({self.channels},)")
        expect(
            self.table.shape == (TABLE_LAST - TABLE_FIRST + 1,),
            f"table has shape {self.table.shape}; expected (768,)",
        )
        expect(int(self.table.max()) < 1 << ENTRY_BITS, "table has an entry of more than 15 bits")
        expect(0 <= self.epsilon <= 1 << EPSILON_BITS, f"epsilon is {self.epsilon}; allowed are 0 to 2^29")
        expect(
            EPSILON_SHIFTS[0] <= self.epsilon_shift <= EPSILON_SHIFTS[1],
            f"epsilon_shift is {self.epsilon_shift}; allowed are −14 to 31",
        )
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")
        expect(2 <= self.input_bits <= 16, f"input_bits is {self.input_bits}; allowed are 2 to 16")
        least, most = int(self.input_shift.min()), int(self.input_shift.max())
        expect(
            least >= 0 and most <= 15, f"input_shift spans {least}..{most}; allowed are 0 to 15, left shifts"
        )
        # Step 5 never shifts left, so its results always fit int32.
        least, most = int(self.shift.min()), int(self.shift.max())
        expect(
            least >= SHIFTS[0] and most <= SHIFTS[1],
            f"shift spans {least}..{most}; allowed are {SHIFTS[0]} to {SHIFTS[1]}",
        )

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, N, C] → [B, N, C]."""
        (x,) = inputs
        aligned = saturate(shift_round(x, -self.input_shift.astype(np.int64)), self.input_bits)
        centred = self.channels * aligned - aligned.sum(axis=-1, keepdims=True)
        largest = np.abs(centred).max(axis=-1, keepdims=True)
        k = np.maximum(bit_length(largest) - CENTRED_BITS, self.epsilon_shift)
        normal = shift_round(centred, k)
        reduced = shift_round(normal, squares_shift(self.channels))
        squares = (reduced * reduced).sum(axis=-1, keepdims=True)
        total = np.maximum(squares + shift_round(self.epsilon, 2 * (k - self.epsilon_shift)), 1)
        j = (bit_length(total) - MANTISSA_BITS) >> 1
        mantissa = np.where(j >= 0, total >> np.maximum(2 * j, 0), total << np.maximum(-2 * j, 0))
        factor = self.table.astype(np.int64)[(mantissa >> INDEX_SHIFT) - TABLE_FIRST]
        return requantize(normal * factor, self.shift.astype(np.int64) + j, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[..., C] → the same."""
        (x,) = shapes
        expect(
            len(x) > 0 and x[-1] == self.channels,
            f"input has shape {list(x)}; LayerNorm wants {self.channels} channels last",
        )
        return x

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the ranges of steps 1 to 5 and of the output."""
        low, high = clamp_range(shift_range(ranges[0], -self.input_shift.astype(np.int64)), self.input_bits)
        # First the sum of C values and C times one value, then their difference and its rounding half.
        terms = (self.channels * min(low, 0), self.channels * max(high, 0))
        spread = self.channels * (high - low)
        widest_shift = max(spread.bit_length() - CENTRED_BITS, self.epsilon_shift)
        half = (1 << max(widest_shift, 0)) >> 1
        product = int(self.table.max()) << CENTRED_BITS
        product_half = 1 << int(self.shift.max())
        reach = shift_range((-product, product), self.shift.astype(np.int64) + ((1 - MANTISSA_BITS) >> 1))
        return Bounds(
            clamp_range(reach, self.output_bits),
            {
                "accumulator": (min(-spread, terms[0]), max(spread + half, terms[1])),
                "normal": (-1 << CENTRED_BITS, 1 << CENTRED_BITS),
                # The shift is up to 31, with its rounding half. Any larger shift gives 0 too.
                "epsilon": (0, self.epsilon + (1 << 30)),
                "mantissa": (0, (1 << (MANTISSA_BITS + 1)) - 1),
                "squares": (0, (1 << SQUARES_BITS) + (1 << EPSILON_BITS)),
                "product": (-product, product + product_half),
            },
        )
