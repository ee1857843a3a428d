"""Scalars of a row between the passes of ``LayerNorm``: common shift, epsilon, and index in the root table."""

from typing import Any

from amaranth.hdl import Module, Value

from p2vit.hdl.arithmetic import bit_length, larger, shift_with_half, wire
from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT, MANTISSA_BITS, SQUARES_BITS, TABLE_LAST

#: Width of the sum of squares plus epsilon, which is below 2^31.
TOTAL_BITS = SQUARES_BITS + 1
#: Width of an index into the table of reciprocal roots, counted from 0 although the first entries are unused.
INDEX_BITS = TABLE_LAST.bit_length()


def common_shift(m: Module, largest: Any, epsilon_shift: Any) -> Value:
    """Return k, the shift that reduces the row's largest centred value to ``CENTRED_BITS`` bits.

    It is at least the shift of epsilon.
    """
    return larger(m, (bit_length(m, largest) - CENTRED_BITS).as_signed(), epsilon_shift)


def centred_twice(centred: Any, amount: Any) -> Value:
    """Return ``2 · c · 2^-k``. ``amount`` is k + ``CENTRED_BITS``, which is never negative."""
    return shift_with_half(centred, amount, raised=CENTRED_BITS)


def epsilon_twice(epsilon: Any, k: Any, epsilon_shift: Any) -> Value:
    """Return 2 · epsilon, scaled for squares of values that were shifted by k."""
    return shift_with_half(epsilon, ((k - epsilon_shift) << 1)[:7])


def positive_total(m: Module, squares: Any, epsilon: Any) -> Value:
    """Return the sum of squares plus epsilon, at least 1."""
    raw = wire(m, (squares + epsilon)[:TOTAL_BITS], "raw")
    return raw | ~raw.any()


def root_exponent(m: Module, total: Any) -> Value:
    """Return j, signed, such that total · 2^-2j is in [2^28, 2^30)."""
    return ((bit_length(m, total) - MANTISSA_BITS) >> 1)[:5].as_signed()


def root_index(total: Any, exponent: Any) -> Value:
    """Return the table index for the mantissa total · 2^-2j."""
    mantissa = Value.cast(total).shift_left(2 * CENTRED_BITS) >> ((exponent + CENTRED_BITS) << 1)[:5]
    return mantissa[INDEX_SHIFT : INDEX_SHIFT + INDEX_BITS]
