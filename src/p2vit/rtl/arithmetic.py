"""Combinational arithmetic of the operators: the one rounding rule, saturation, leading ones, adder trees.

An Amaranth expression is emitted once for each place that uses it, so whatever is used more than once is given a
wire first: functions that do so take the module.
"""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Shape, Signal, Value


def wire(m: Module, value: Any, name: str = "wire") -> Signal:
    """A signal that carries a value, to be used any number of times."""
    cast = Value.cast(value)
    carried = Signal(Shape(len(cast), cast.shape().signed), name=name)
    m.d.comb += carried.eq(cast)
    return carried


def width_of(value: Any) -> int:
    """Bits of a value."""
    return len(Value.cast(value))


def shift_with_half(x: Any, shift: Any, raised: int = 0) -> Value:
    """``floor(2·x · 2^(raised - shift))``: the first half of a rounding shift; :func:`round_last_bit` is the other.

    Args:
        x: Signed or unsigned.
        shift: Unsigned, right.
        raised: Places that x goes up first, so that one right shift shifts both ways.
    """
    return Value.cast(x).shift_left(raised + 1) >> shift


def round_last_bit(twice: Any) -> Value:
    """``floor((t + 1) / 2)``: half up."""
    return (Value.cast(twice) + 1) >> 1


def shift_round(x: Any, shift: Any) -> Value:
    """``round(x · 2^-shift)``, half up, for an unsigned right shift."""
    return round_last_bit(shift_with_half(x, shift))


def clamp_signed(m: Module, x: Any, bits: int) -> Value:
    """Saturate a signed value to a width; as it is where it fits anyway."""
    if len(Value.cast(x)) <= bits:
        return Value.cast(x).as_signed()
    cast = wire(m, x, "unclamped")
    over = cast[bits - 1 : -1]
    sign = cast[-1]
    fits = Mux(sign, over.all(), ~over.any())
    return Mux(fits, cast[:bits], Cat((~sign).replicate(bits - 1), sign)).as_signed()


def clamp_either(m: Module, x: Any, bits: int, narrow: Any | None) -> Value:
    """Saturate to ``bits``, or to 8 where ``narrow``; ``narrow`` is None for modules of one width."""
    if narrow is None:
        return clamp_signed(m, x, bits)
    wide = wire(m, clamp_signed(m, x, bits), "clamped")
    return Mux(narrow, clamp_signed(m, wide, 8), wide).as_signed()


def bit_length(m: Module, x: Any) -> Value:
    """Position of the leading one plus one, 0 for 0: a tree, as :func:`p2vit.numerics.rounding.bit_length`."""
    rest: Any = wire(m, x, "leading")
    count: list[Any] = []
    step = 1
    while step * 2 < len(rest):
        step *= 2
    while step:
        high = wire(m, rest[step:].any() if step < len(rest) else C(0, 1), f"above_{step}")
        rest = wire(m, Mux(high, rest[step : step * 2], rest[:step]), f"rest_{step}")
        count.append(high)
        step //= 2
    # `rest` is now the single bit at the leading one's place.
    return wire(m, Cat(*reversed(count)) + rest[0], "length")


def offset_binary(x: Any) -> Value:
    """``x + 128`` of an int8: x with its sign bit turned over; where a table of 256 entries is read."""
    return Cat(x[:7], ~x[7])


def tree(values: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """Balanced reduction of one or more values."""
    row = list(values)
    while len(row) > 1:
        row = [combine(*row[i : i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]


def add_tree(values: Sequence[Any]) -> Value:
    """Exact sum; the width grows as it must."""
    return tree(values, lambda a, b: a + b)


def larger(m: Module, a: Any, b: Any) -> Value:
    """Maximum of two values of one signedness."""
    x, y = wire(m, a), wire(m, b)
    return wire(m, Mux(x >= y, x, y), "larger")


def smaller(m: Module, a: Any, b: Any) -> Value:
    """Minimum of two values of one signedness."""
    x, y = wire(m, a), wire(m, b)
    return wire(m, Mux(x <= y, x, y), "smaller")


def largest(m: Module, values: Sequence[Any]) -> Value:
    """Maximum of one or more values."""
    return tree(values, lambda a, b: larger(m, a, b))


def smallest(m: Module, values: Sequence[Any]) -> Value:
    """Minimum of one or more values."""
    return tree(values, lambda a, b: smaller(m, a, b))
