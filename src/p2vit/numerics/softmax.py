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
DISTANCE_EXPONENT, DISTANCE_BITS = -12, 16
LARGEST_DISTANCE = (1 << DISTANCE_BITS) - 1
#: round(log2(e) · 2^15): one step of distance in steps of 2^-11 octaves, as a 16-bit fraction. It is even, so
#: half of it and one shift less give the same integer within 31 bits: octaves = distance · OCTAVE_FACTOR >> 15.
LOG2_E = 47274
OCTAVE_FACTOR, OCTAVE_FACTOR_FRACTION = LOG2_E >> 1, 15
#: Octaves of the largest distance, a 16-bit number.
LARGEST_OCTAVES = (LARGEST_DISTANCE * OCTAVE_FACTOR) >> OCTAVE_FACTOR_FRACTION
#: Octaves carry 11 fraction bits; the table is read with the upper 7.
OCTAVE_FRACTION, TABLE_BITS = 11, 7
#: Table entries are below 2^16, codes of the linear form 8 bits wide with the largest for 2^0.
TABLE_ENTRY_BITS, ENTRY_SHIFT = 16, 7
#: The largest codes: 8 bits, and 4 bits.
LARGEST_LINEAR_CODE, LARGEST_LOG2_CODE = 255, 15
#: Shifts of the distance, to the left and to the right.
LARGEST_SHIFT = 24


def exp2_table() -> IntArray:
    """``2^(15 − (i + 1/2)/128)`` for i = 0..127: uint16 [128], relative error ≤ 2^-8.5 within a step.

    Made with integers: the 256th root is taken by repeated integer square roots.
    """
    # 2^(-(2i+1)/256): multiply the roots 2^(-1/2), 2^(-1/4), ... selected by the bits of the numerator.
    precision = 64
    roots, root = [], 1 << precision
    value = 1 << (precision - 1)
    for _ in range(TABLE_BITS + 1):
        value = isqrt(value << precision)
        roots.append(value)
    table = []
    for i in range(1 << TABLE_BITS):
        numerator, root = 2 * i + 1, 1 << precision
        for position, factor in enumerate(roots):
            if numerator >> (TABLE_BITS - position) & 1:
                root = (root * factor) >> precision
        kept = precision - TABLE_ENTRY_BITS
        table.append((root + (1 << kept)) >> (kept + 1))
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
    return (np.minimum(distance, LARGEST_DISTANCE) * OCTAVE_FACTOR) >> OCTAVE_FACTOR_FRACTION


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
        expect(
            bool((np.abs(self.shift.astype(np.int64)) <= LARGEST_SHIFT).all()),
            f"shift leaves −{LARGEST_SHIFT}..{LARGEST_SHIFT}",
        )

    def compute(self, *inputs: IntArray) -> IntArray:
        """scores: int32 [B, H, N, M] → uint8 [B, H, N, M]."""
        (scores,) = inputs
        u = octaves_below_maximum(scores, self.shift.astype(np.int64)[:, None, None])
        if self.form == "log2":
            return np.minimum(shift_round(u, OCTAVE_FRACTION), LARGEST_LOG2_CODE).astype(np.uint8)
        whole = u >> OCTAVE_FRACTION
        index = (u >> (OCTAVE_FRACTION - TABLE_BITS)) & ((1 << TABLE_BITS) - 1)
        mantissa = EXP2_TABLE.astype(np.int64)[index]
        return np.minimum(shift_round(mantissa, ENTRY_SHIFT + whole), LARGEST_LINEAR_CODE).astype(np.uint8)

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
            (0, LARGEST_LINEAR_CODE if self.form == "linear" else LARGEST_LOG2_CODE),
            {
                "accumulator": (low - high, high - low),
                "maximum": (low, high + half),
                "distance": (0, max(distance[1], high - low + half)),
                "product": (0, LARGEST_DISTANCE * OCTAVE_FACTOR),
            },
        )
