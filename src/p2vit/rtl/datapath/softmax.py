"""From a score's distance below the row's maximum to its code and what the code stands for: steps of ``Softmax``.

A distance has 16 bits, 12 of them behind the point; octaves are the same in powers of two, 5 bits before the point and
11 behind it.
"""

from typing import Any

from amaranth.hdl import C, Module, Mux, Value, unsigned
from amaranth.lib import memory

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
from p2vit.rtl.arithmetic import round_last_bit, shift_round, shift_with_half, wire


def cut_distance(m: Module, twice: Any) -> Value:
    """2 · distance, at most 2^17 − 1: that rounds to 2^16, which :func:`rounded_distance` cuts."""
    kept = DISTANCE_BITS + 1
    carried = wire(m, twice, "twice")
    return Mux(carried[kept:].any(), C((1 << kept) - 1, kept), carried[:kept])[:kept]


def rounded_distance(m: Module, cut: Any) -> Value:
    """The distance, half up, at most 2^16 − 1; ``cut`` is 2 · distance of :func:`cut_distance`."""
    half = wire(m, round_last_bit(cut)[: DISTANCE_BITS + 1], "half")
    return Mux(half[-1], C(-1, DISTANCE_BITS), half[:DISTANCE_BITS])[:DISTANCE_BITS]


def octaves_of(product: Any) -> Value:
    """Octaves from distance · ``OCTAVE_FACTOR``."""
    return Value.cast(product)[OCTAVE_FACTOR_FRACTION : OCTAVE_FACTOR_FRACTION + DISTANCE_BITS]


def exp2_table() -> memory.Memory:
    """2^-f for the fraction of an octave: a fixed table."""
    return memory.Memory(
        shape=unsigned(TABLE_ENTRY_BITS), depth=1 << TABLE_BITS, init=[int(entry) for entry in EXP2_TABLE]
    )


def table_index(octaves: Any) -> Value:
    """Where the table is read: the leading bits of the fraction."""
    return octaves[OCTAVE_FRACTION - TABLE_BITS : OCTAVE_FRACTION]


def whole_octaves(octaves: Any) -> Value:
    """Octaves before the point."""
    return octaves[OCTAVE_FRACTION:]


def linear_twice(mantissa: Any, whole: Any) -> Value:
    """2 · code of the linear form before it is rounded: 10 bits."""
    return shift_with_half(mantissa, whole + ENTRY_SHIFT)[:10]


def linear_code(m: Module, twice: Any) -> Value:
    """Code of the linear form, 8 bits: ``min(255, round(table · 2^-(7 + whole)))``."""
    code = wire(m, round_last_bit(twice)[:10], "rounded")
    return Mux(code[8:].any(), LARGEST_LINEAR_CODE, code[:8])[:8]


def log2_code(m: Module, octaves: Any) -> Value:
    """Code of the log2 form, 4 bits: ``min(15, round(octaves))``."""
    rounded = wire(m, shift_round(octaves, OCTAVE_FRACTION)[:6], "octave")
    return Mux(rounded[4:].any(), LARGEST_LOG2_CODE, rounded[:4])[:4]


def times_weight(value: Any, code: Any, guard: Any) -> Value:
    """``value · 2^(guard − code)``, what a log2 code stands for; 0 where the code is above the guard."""
    return Mux(code <= guard, Value.cast(value) << (guard - code)[:4], 0)
