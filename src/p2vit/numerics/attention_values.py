"""Attention × values, followed by the division by the row sum."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from p2vit.numerics.heads import split_heads
from p2vit.numerics.linear import integer_matmul
from p2vit.numerics.operator import INT8, OMITTED, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import IntArray, Range, bit_length, clamp_range, shift_range, shift_round
from p2vit.numerics.softmax import LARGEST_LINEAR_CODE

#: Fraction bits of the reduced accumulator (step 3) and of the reciprocal (step 2).
QUOTIENT_BITS, RECIPROCAL_FRACTION = 8, 14
#: Fraction bits of the quotient, before the shift of the output.
QUOTIENT_FRACTION = QUOTIENT_BITS + RECIPROCAL_FRACTION
#: Limits of the parameters.
GUARDS, SHIFTS = (8, 15), (-16, 8)


@dataclass(frozen=True, eq=False)
class AttentionValues(Operator):
    """``o = requantize(Σ_m p_m · v_m / Σ_m p_m)`` per head. The division comes after the product.

    1. ``acc = Σ p·v`` and ``sum = Σ p``; int32. For ``log2`` codes, p = 2^(guard − code), so each product is a shift.
    2. ``n = bit_length(sum)``; ``r = ⌊2^(n+14) / sum⌋``: one reciprocal per row, 2^14 to 2^15. The numerator has up to
       46 bits; it is int64, or a divider keeps only its remainder, which has 32 bits.
    3. ``a = round(acc · 2^-(n−8))``. Since |acc| ≤ 128·sum, |a| ≤ 2^15. acc and the half, 2^(n−9), fit int32.
    4. ``o = requantize(a · r, 22 + shift)``: |a · r| ≤ 2^29 + 2^15; int32.

    Error before the rounding of the output, in steps of v: at most 2^-8 for step 3, since sum ≥ 2^(n−1), plus
    128 · 2^-14 for step 2, since r ≥ 2^14. The rounding adds half an output step.

    Attributes:
        heads: H.
        shift: int8 [H·D], per channel: exponent of the output minus exponent of v.
        form: ``linear`` or ``log2``, as in the softmax that makes the codes.
        guard: For ``log2`` only, 8 to 15: code c means 2^(guard − c), or 0 if c > guard.
        output_bits: 8 or 16.
        windows: W, as in the scores.
    """

    arity: ClassVar[int] = 2
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, False), (8, True))

    heads: int
    shift: IntArray = field(metadata=INT8)
    form: Literal["linear", "log2"] = "linear"
    guard: int = 15
    output_bits: int = 8
    windows: int = field(default=1, metadata=OMITTED)

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(self.form in ("linear", "log2"), f"form is {self.form!r}; allowed are 'linear' and 'log2'")
        expect(
            GUARDS[0] <= self.guard <= GUARDS[1],
            f"guard is {self.guard}; allowed are {GUARDS[0]} to {GUARDS[1]}",
        )
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")
        expect(self.heads >= 1, f"heads is {self.heads}; allowed are 1 and more")
        expect(self.windows >= 1, f"windows is {self.windows}; allowed are 1 and more")
        expect(
            self.shift.ndim == 1 and self.shift.size > 0 and self.shift.size % self.heads == 0,
            f"shift has shape {self.shift.shape}; expected one per channel of {self.heads} heads",
        )
        wide = self.shift.astype(np.int64)
        expect(bool(((wide >= SHIFTS[0]) & (wide <= SHIFTS[1])).all()), "shift leaves −16..8")

    def weights_of(self, codes: IntArray) -> IntArray:
        """Return the integer weight p of each code: int64, the shape of ``codes``."""
        wide = codes.astype(np.int64)
        if self.form == "linear":
            return wide
        return np.where(wide <= self.guard, np.int64(1) << np.maximum(self.guard - wide, 0), 0)

    def compute(self, *inputs: IntArray) -> IntArray:
        """codes: uint8 [B, H, W·N, M], v: int8 [B, W·M, H·D] → int8 [B, W·N, H·D]."""
        codes, v = inputs
        batch, heads, rows, keys = codes.shape
        weights = self.weights_of(codes).reshape(batch, heads, self.windows, -1, keys)
        products = integer_matmul(weights, split_heads(v, self.heads, self.windows)).astype(np.int64)
        accumulator, weights = products.reshape(batch, heads, rows, -1), weights.reshape(codes.shape)
        total = weights.sum(axis=-1, keepdims=True)
        n = bit_length(total)
        reciprocal = (np.int64(1) << (n + RECIPROCAL_FRACTION)) // total
        reduced = shift_round(accumulator, n - QUOTIENT_BITS)
        merged = (reduced * reciprocal).transpose(0, 2, 1, 3).reshape(batch, rows, -1)
        return requantize(merged, QUOTIENT_FRACTION + self.shift.astype(np.int64), self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[H, W·N, M], [W·M, H·D] → [W·N, H·D]."""
        codes, v = shapes
        windows = f"{self.windows} · " if self.windows > 1 else ""
        expect(
            len(codes) == 3
            and len(v) == 2
            and codes[2] * self.windows == v[0]
            and codes[1] % self.windows == 0
            and codes[0] == self.heads
            and v[1] == self.shift.size,
            f"codes have shape {list(codes)} and values {list(v)}; "
            f"expected [{self.heads}, {windows}queries, keys] and [{windows}keys, {self.shift.size}]",
        )
        return (codes[1], v[1])

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds_for(self, keys: int, *ranges: Range) -> Bounds:
        """Return the worst-case ranges for a number of keys, which the graph determines, not the operator.

        Args:
            keys: M, number of summed products.
            *ranges: Ranges of the codes and of the values.
        """
        largest = keys * (LARGEST_LINEAR_CODE if self.form == "linear" else 1 << self.guard)
        low, high = min(ranges[1][0], 0), max(ranges[1][1], 0)
        n = largest.bit_length()
        # Step 3 adds half of 2^(n-8). It grows with the sum, so the largest sum is the worst case.
        row_half = (1 << max(n - QUOTIENT_BITS, 0)) >> 1
        # The quotient is a mean of v, so it stays in the range of v. Step 3 rounds a by 1/2, which r ≤ 2^15 scales.
        slack = 1 << RECIPROCAL_FRACTION
        product = (low * (1 << QUOTIENT_FRACTION) - slack, high * (1 << QUOTIENT_FRACTION) + slack)
        reach = shift_range(product, QUOTIENT_FRACTION + self.shift.astype(np.int64))
        half = 1 << (int(self.shift.max()) + QUOTIENT_FRACTION - 1)
        return Bounds(
            clamp_range(reach, self.output_bits),
            {
                "accumulator": (largest * low, largest * high + row_half),
                "sum": (0, largest),
                "reciprocal": (0, 1 << (RECIPROCAL_FRACTION + 1)),
                "reduced": (low << QUOTIENT_BITS, high << QUOTIENT_BITS),
                "product": (product[0], product[1] + half),
            },
            {"numerator": (0, 1 << (n + RECIPROCAL_FRACTION))},
        )

    def bounds(self, *ranges: Range) -> Bounds:
        """Return `bounds_for` the largest number of keys for which the accumulator fits int32."""
        most = LARGEST_LINEAR_CODE if self.form == "linear" else 1 << self.guard
        return self.bounds_for((1 << 31) // (128 * most) - 1, *ranges)

    def macs_per_row(self, keys: int) -> int:
        """Return the multiply-accumulates (for ``log2``, shifts and adds) per output element."""
        return keys
