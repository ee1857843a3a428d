"""Combinational arithmetic of the operators: the one rounding rule, saturation, leading ones, adder trees."""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import C, Cat, Mux, Value, signed


def width_of(value: Any) -> int:
    """Bits of a value."""
    return len(Value.cast(value))


def shift_with_half(x: Any, shift: Any) -> Value:
    """``floor(2·x · 2^-shift)``: the first half of a rounding shift; :func:`round_last_bit` is the other.

    Args:
        x: Signed or unsigned.
        shift: Unsigned, right.
    """
    cast = Value.cast(x)
    doubled = Cat(C(0, 1), cast)
    return (doubled.as_signed() if cast.shape().signed else doubled) >> shift


def round_last_bit(twice: Any) -> Value:
    """``floor((t + 1) / 2)``: half up."""
    return (Value.cast(twice) + 1) >> 1


def shift_round(x: Any, shift: Any) -> Value:
    """``round(x · 2^-shift)``, half up, for an unsigned right shift."""
    return round_last_bit(shift_with_half(x, shift))


def clamp_signed(x: Any, bits: int) -> Value:
    """Saturate a signed value to a width; as it is where it fits anyway."""
    cast = Value.cast(x)
    if len(cast) <= bits:
        return cast.as_signed()
    over = cast[bits - 1 : -1]
    sign = cast[-1]
    fits = Mux(sign, over.all(), ~over.any())
    return Mux(fits, cast[:bits], Cat((~sign).replicate(bits - 1), sign)).as_signed()


def clamp_either(x: Any, bits: int, narrow: Any | None) -> Value:
    """Saturate to ``bits``, or to 8 where ``narrow``; ``narrow`` is None for modules of one width."""
    wide = clamp_signed(x, bits)
    return wide if narrow is None else Mux(narrow, clamp_signed(wide, 8), wide).as_signed()


def bit_length(x: Any) -> Value:
    """Position of the leading one plus one, 0 for 0: a tree, as :func:`p2vit.numerics.rounding.bit_length`."""
    rest: Any = Value.cast(x)
    count: list[Any] = []
    step = 1
    while step * 2 < len(rest):
        step *= 2
    while step:
        high = rest[step:].any() if step < len(rest) else C(0, 1)
        rest = Mux(high, rest[step : step * 2], rest[:step])
        count.append(high)
        step //= 2
    # `rest` is now the single bit at the leading one's place.
    return Cat(*reversed(count)) + rest[0]


def tree(values: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """Balanced reduction of one or more values."""
    row = list(values)
    while len(row) > 1:
        row = [combine(*row[i : i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]


def add_tree(values: Sequence[Any]) -> Value:
    """Exact sum; the width grows as it must."""
    return tree(values, lambda a, b: a + b)


def larger(a: Any, b: Any) -> Value:
    """Maximum of two values of one signedness."""
    return Mux(Value.cast(a) >= Value.cast(b), a, b)


def smaller(a: Any, b: Any) -> Value:
    """Minimum of two values of one signedness."""
    return Mux(Value.cast(a) <= Value.cast(b), a, b)


def signed_value(x: Any, bits: int) -> Value:
    """The lowest bits as a signed number; the caller has proved that nothing is lost."""
    cast = Value.cast(x)
    if len(cast) < bits:
        return cast.as_signed() if cast.shape().signed else Cat(cast, C(0, bits - len(cast))).as_signed()
    return cast[:bits].as_signed()


__all__ = [
    "add_tree",
    "bit_length",
    "clamp_either",
    "clamp_signed",
    "larger",
    "round_last_bit",
    "shift_round",
    "shift_with_half",
    "signed",
    "signed_value",
    "smaller",
    "tree",
    "width_of",
]
