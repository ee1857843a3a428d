"""Integer softmax, relative to each row's maximum; the row sum divides later, after attention × V.

Quantizing probabilities relative to 1 spends the codes on values that do not occur; relative to the row's
maximum the largest code is always used, and the division is done once per output with more bits
(:mod:`p2vit.numerics.attention_values`). Everything fits int32, which the polynomial of the paper's softmax does
not.
"""

from dataclasses import dataclass, field
from math import isqrt
from typing import ClassVar, Literal

import numpy as np

from p2vit.numerics.operator import INT8, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range, shift_range, shift_round

#: Distances from the row's maximum are taken to this exponent and held in 16 bits: up to 16, e^-16 ≈ 1e-7.
DISTANCE_EXPONENT = -12
#: round(log2(e) · 2^15): one step of distance in steps of 2^-11 octaves, as a 16-bit fraction. It is even, so
#: half of it and one shift less give the same integer within 31 bits.
LOG2_E = 47274
#: Octaves carry 11 fraction bits; the table is read with the upper 7.
OCTAVE_FRACTION, TABLE_BITS = 11, 7


def exp2_table() -> IntArray:
    """``2^(15 − (i + 1/2)/128)`` for i = 0..127: uint16 [128], relative error ≤ 2^-8.5 within a step.

    Made with integers: the 256th root is taken by repeated integer square roots.
    """
    # 2^(-(2i+1)/256): multiply the roots 2^(-1/2), 2^(-1/4), ... selected by the bits of the numerator.
    precision = 64
    roots, root = [], 1 << precision
    value = 1 << (precision - 1)
    for _ in range(8):
        value = isqrt(value << precision)
        roots.append(value)
    table = []
    for i in range(128):
        numerator, root = 2 * i + 1, 1 << precision
        for position, factor in enumerate(roots):
            if numerator >> (7 - position) & 1:
                root = (root * factor) >> precision
        table.append((root + (1 << (precision - 16))) >> (precision - 15))
    return np.array(table, dtype=np.uint16)


EXP2_TABLE = exp2_table()


def octaves_below_maximum(scores: IntArray, shift: IntArray | int) -> IntArray:
    """How many octaves (with 11 fraction bits) each score lies below its row's maximum.

    ``z = min(round((max − s) · 2^-shift), 65535)`` at exponent −12, then ``u = (z · 23637) >> 15``: a 16 × 15
    bit product that fits 31 bits. Error below 2^-10 octaves for the product, half a step for z.

    Args:
        scores: int32 [..., N].
        shift: −12 − exponent of the scores; broadcastable.

    Returns:
        int64 [..., N], 0 to 47273.
    """
    wide = np.asarray(scores, dtype=np.int64)
    distance = shift_round(wide.max(axis=-1, keepdims=True) - wide, shift)
    return (np.minimum(distance, 65535) * (LOG2_E >> 1)) >> 15


@dataclass(frozen=True, eq=False)
class Softmax(Operator):
    """Unnormalised softmax codes of each row; the largest score always gets the largest code.

    Two forms:

    * ``linear``: unsigned 8 bits, ``code ≈ min(255, 256 · 2^-u)``: ``min(255, round(table[f] · 2^-(7 + i)))``
      with i and f the whole and the fraction of u. Error: half a code, plus 0.4 % of the code.
    * ``log2``: unsigned 4 bits, ``code = min(15, round(u))`` stands for ``2^-code``, so that attention × V is
      shift and add (P²-ViT after FQ-ViT's log-int softmax, but relative to the maximum). Error: a factor up
      to 2^(1/2 + 2^-10), as long as the true value is above 2^-15.5.

    Attributes:
        shift: int8 [H], per head: −12 − the exponent of the scores.
        form: ``linear`` or ``log2``.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((32, True),)

    shift: IntArray = field(metadata=INT8)
    form: Literal["linear", "log2"] = "linear"

    def validate(self) -> None:
        """Check the form and the shifts.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """
        expect(self.form in ("linear", "log2"), f"form is {self.form!r}; allowed are 'linear' and 'log2'")
        expect(
            self.shift.ndim == 1 and self.shift.size > 0,
            f"shift has shape {self.shift.shape}; expected one per head",
        )
        expect(bool((np.abs(self.shift.astype(np.int64)) <= 24).all()), "shift leaves −24..24")

    def compute(self, *inputs: IntArray) -> IntArray:
        """scores: int32 [B, H, N, M] → uint8 [B, H, N, M]."""
        (scores,) = inputs
        u = octaves_below_maximum(scores, self.shift.astype(np.int64)[:, None, None])
        if self.form == "log2":
            return np.minimum(shift_round(u, OCTAVE_FRACTION), 15).astype(np.uint8)
        whole = u >> OCTAVE_FRACTION
        index = (u >> (OCTAVE_FRACTION - TABLE_BITS)) & ((1 << TABLE_BITS) - 1)
        mantissa = EXP2_TABLE.astype(np.int64)[index]
        return np.minimum(shift_round(mantissa, 7 + whole), 255).astype(np.uint8)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[H, N, M] → the same."""
        (scores,) = shapes
        expect(
            len(scores) == 3 and scores[0] == self.shift.size,
            f"input has shape {list(scores)}; softmax wants [{self.shift.size} heads, queries, keys]",
        )
        return scores

    def output_format(self) -> tuple[int, bool]:
        """Unsigned: 8 bits, or 4 for log2 codes."""
        return (8, False) if self.form == "linear" else (4, False)

    def bounds(self, *ranges: Range) -> Bounds:
        """Difference of two scores, the maximum with the rounding half that some back-ends add to it first, the
        aligned distance before it is clamped, and the 16 × 15 bit product.
        """
        low, high = ranges[0]
        distance = shift_range((0, high - low), self.shift)
        half = (1 << max(int(self.shift.max()), 0)) >> 1
        return Bounds(
            (0, 255 if self.form == "linear" else 15),
            {
                "accumulator": (low - high, high - low),
                "maximum": (low, high + half),
                "distance": (0, max(distance[1], high - low + half)),
                "product": (0, 65535 * (LOG2_E >> 1)),
            },
        )
