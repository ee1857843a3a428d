"""Integer softmax relative to each row's maximum. The division by the row sum comes later, after attention × values.

Probabilities quantized relative to 1 rarely use the large codes. Relative to the row's maximum, the largest code always
occurs. The division is done once per output with more bits (`p2vit.numerics.attention_values`). All intermediates fit
int32; those of the polynomial softmax of P²-ViT do not.
"""

from dataclasses import dataclass, field
from math import isqrt
from typing import ClassVar, Literal

import numpy as np

from p2vit.numerics.operator import INT8, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range, shift_range, shift_round

#: Exponent and width of distances from the row's maximum. They are unsigned, below 16; e^-16 ≈ 1e-7.
DISTANCE_EXPONENT, DISTANCE_BITS = -12, 16
LARGEST_DISTANCE = (1 << DISTANCE_BITS) - 1
#: round(log2(e) · 2^15): converts distances to octaves with 11 fraction bits: octaves = distance · LOG2_E >> 16. The
#: number is even, so distance · OCTAVE_FACTOR >> 15 with half of it is the same integer, and the product fits 31 bits.
LOG2_E = 47274
OCTAVE_FACTOR, OCTAVE_FACTOR_FRACTION = LOG2_E >> 1, 15
#: Octaves of the largest distance, a 16-bit number.
LARGEST_OCTAVES = (LARGEST_DISTANCE * OCTAVE_FACTOR) >> OCTAVE_FACTOR_FRACTION
#: Octaves have 11 fraction bits. The upper 7 of them are the index of the table.
OCTAVE_FRACTION, TABLE_BITS = 11, 7
#: Table entries have 16 bits. A right shift by `ENTRY_SHIFT` gives the 8-bit codes of the linear form.
TABLE_ENTRY_BITS, ENTRY_SHIFT = 16, 7
#: The largest codes: 8 bits, and 4 bits.
LARGEST_LINEAR_CODE, LARGEST_LOG2_CODE = 255, 15
#: Largest shift of the distance, to the left and to the right.
LARGEST_SHIFT = 24


def exp2_table() -> IntArray:
    """Make the table ``2^(15 − (i + 1/2)/128)`` for i = 0..127: uint16 [128], relative error at most 2^-8.5.

    The table is made with integers: repeated integer square roots give the 256th root.
    """
    # 2^(-(2i+1)/256): multiply those roots 2^(-1/2), 2^(-1/4), ... that the bits of the numerator select.
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
    """Compute the distance of each score from its row's maximum in octaves, with 11 fraction bits.

    ``z = min(round((max − s) · 2^-shift), 65535)`` at exponent −12, then ``u = (z · 23637) >> 15``, a 16 × 15 bit
    product that fits 31 bits. Error: half a step of z, and below 2^-10 octaves for the product.

    Args:
        scores: int32 [..., N].
        shift: −12 minus the exponent of the scores; broadcastable.

    Returns:
        int64 [..., N], 0 to 47273.
    """
    wide = np.asarray(scores, dtype=np.int64)
    distance = shift_round(wide.max(axis=-1, keepdims=True) - wide, shift)
    return (np.minimum(distance, LARGEST_DISTANCE) * OCTAVE_FACTOR) >> OCTAVE_FACTOR_FRACTION


@dataclass(frozen=True, eq=False)
class Softmax(Operator):
    """Softmax codes of each row, not normalised. The largest score always gets the largest code.

    There are two forms:

    * ``linear``: unsigned 8 bits, ``code ≈ min(255, 256 · 2^-u)``, computed as
      ``min(255, round(table[f] · 2^-(7 + i)))`` with the integer part i and the fraction f of u. Error: half a code,
      plus 0.4 % of the code.
    * ``log2``: unsigned 4 bits. ``code = min(15, round(u))`` means ``2^-code``, so attention × values needs only
      shifts and adds. Error: a factor of at most 2^(1/2 + 2^-10), if the exact value is above 2^-15.5.

    Source:
        The ``log2`` form follows P²-ViT and the log-int softmax of FQ-ViT, but relative to the row's maximum.

    Attributes:
        shift: int8 [H], per head: −12 minus the exponent of the scores.
        form: ``linear`` or ``log2``.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((32, True),)

    shift: IntArray = field(metadata=INT8)
    form: Literal["linear", "log2"] = "linear"

    def validate(self) -> None:
        """Check the form and the shifts.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
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
        """Return the ranges of all intermediates and of the codes.

        The intermediates are the difference of two scores; the maximum with the rounding half, which some back-ends
        add to it first; the shifted distance before clamping; and the 16 × 15 bit product.
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
