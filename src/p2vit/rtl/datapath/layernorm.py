"""The scalars of a row between the passes of ``LayerNorm``: the common shift, epsilon, the reciprocal root's place."""

from typing import Any

from amaranth.hdl import Module, Value

from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT, MANTISSA_BITS, SQUARES_BITS, TABLE_LAST
from p2vit.rtl.arithmetic import bit_length, larger, shift_with_half, wire

#: A sum of squares and an epsilon stay below 2^31.
TOTAL_BITS = SQUARES_BITS + 1
#: Bits of a place in the table of reciprocal roots, zeros in front of its first entry included.
INDEX_BITS = TABLE_LAST.bit_length()


def common_shift(m: Module, largest: Any, epsilon_shift: Any) -> Value:
    """k: brings the row's largest centred value to ``CENTRED_BITS`` bits, and is at least epsilon's own."""
    return larger(m, (bit_length(m, largest) - CENTRED_BITS).as_signed(), epsilon_shift)


def centred_twice(centred: Any, amount: Any) -> Value:
    """``2 · c · 2^-k``; ``amount`` is k + ``CENTRED_BITS``, as k is −``CENTRED_BITS`` at least."""
    return shift_with_half(centred, amount, raised=CENTRED_BITS)


def epsilon_twice(epsilon: Any, k: Any, epsilon_shift: Any) -> Value:
    """2 · epsilon at the squares of values that were shifted by k."""
    return shift_with_half(epsilon, ((k - epsilon_shift) << 1)[:7])


def positive_total(m: Module, squares: Any, epsilon: Any) -> Value:
    """Sum of squares and epsilon, at least 1."""
    raw = wire(m, (squares + epsilon)[:TOTAL_BITS], "raw")
    return raw | ~raw.any()


def root_exponent(m: Module, total: Any) -> Value:
    """j, signed: total · 2^-2j is in [2^28, 2^30)."""
    return ((bit_length(m, total) - MANTISSA_BITS) >> 1)[:5].as_signed()


def root_index(total: Any, exponent: Any) -> Value:
    """The table's place for that mantissa."""
    mantissa = Value.cast(total).shift_left(2 * CENTRED_BITS) >> ((exponent + CENTRED_BITS) << 1)[:5]
    return mantissa[INDEX_SHIFT : INDEX_SHIFT + INDEX_BITS]
