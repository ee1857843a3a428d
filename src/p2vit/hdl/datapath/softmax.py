"""Steps of ``Softmax``: from the distance of a score to the row maximum, to its code and the weight of the code.

A distance has 16 bits, 12 of them after the binary point. An octave is a factor of two in the weight; octaves have 5
bits before the binary point and 11 after it.
"""

from typing import Any

from amaranth.hdl import C, Module, Mux, Value, unsigned
from amaranth.lib import memory

from p2vit.hdl.arithmetic import round_last_bit, shift_round, shift_with_half, wire
from p2vit.numerics.softmax import (
    DISTANCE_BITS,
    ENTRY_SHIFT,
    EXP2_TABLE,
    LARGEST_LINEAR_CODE,
    LARGEST_LOG2_CODE,
    OCTAVE_FACTOR_FRACTION,
    OCTAVE_FRACTION,
    TABLE_BITS,
    TABLE_ENTRY_BITS,
)


def cut_distance(m: Module, twice: Any) -> Value:
    """Saturate 2 · distance to 2^17 − 1; :func:`rounded_distance` then rounds and saturates to 16 bits."""
    kept = DISTANCE_BITS + 1
    carried = wire(m, twice, "twice")
    return Mux(carried[kept:].any(), C((1 << kept) - 1, kept), carried[:kept])[:kept]


def rounded_distance(m: Module, cut: Any) -> Value:
    """Round the result of :func:`cut_distance` half up to a distance of at most 2^16 − 1."""
    half = wire(m, round_last_bit(cut)[: DISTANCE_BITS + 1], "half")
    return Mux(half[-1], C(-1, DISTANCE_BITS), half[:DISTANCE_BITS])[:DISTANCE_BITS]


def octaves_of(product: Any) -> Value:
    """Return the octaves from distance · ``OCTAVE_FACTOR``."""
    return Value.cast(product)[OCTAVE_FACTOR_FRACTION : OCTAVE_FACTOR_FRACTION + DISTANCE_BITS]


def exp2_table() -> memory.Memory:
    """Make the fixed table of 2^-f for the fraction f of an octave."""
    return memory.Memory(
        shape=unsigned(TABLE_ENTRY_BITS), depth=1 << TABLE_BITS, init=[int(entry) for entry in EXP2_TABLE]
    )


def table_index(octaves: Any) -> Value:
    """Return the table index: the leading bits of the fraction."""
    return octaves[OCTAVE_FRACTION - TABLE_BITS : OCTAVE_FRACTION]


def whole_octaves(octaves: Any) -> Value:
    """Return the integer part of the octaves."""
    return octaves[OCTAVE_FRACTION:]


def linear_twice(mantissa: Any, whole: Any) -> Value:
    """Return 2 · code of the linear form before rounding, 10 bits."""
    return shift_with_half(mantissa, whole + ENTRY_SHIFT)[:10]


def linear_code(m: Module, twice: Any) -> Value:
    """Return the code of the linear form, 8 bits: ``min(255, round(table · 2^-(7 + whole)))``."""
    code = wire(m, round_last_bit(twice)[:10], "rounded")
    return Mux(code[8:].any(), LARGEST_LINEAR_CODE, code[:8])[:8]


def log2_code(m: Module, octaves: Any) -> Value:
    """Return the code of the log2 form, 4 bits: ``min(15, round(octaves))``."""
    rounded = wire(m, shift_round(octaves, OCTAVE_FRACTION)[:6], "octave")
    return Mux(rounded[4:].any(), LARGEST_LOG2_CODE, rounded[:4])[:4]


def times_weight(value: Any, code: Any, guard: Any) -> Value:
    """Multiply a value by the weight of a log2 code: ``value · 2^(guard − code)``, or 0 for codes above ``guard``."""
    return Mux(code <= guard, Value.cast(value) << (guard - code)[:4], 0)
