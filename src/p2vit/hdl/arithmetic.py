"""Combinational arithmetic of the operators: rounding, saturation, leading-one detection, adder trees.

Amaranth emits an expression once for every use of it. So a value that is used more than once needs a wire; functions
that add wires take the module as their first argument.
"""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Shape, Signal, Value


def wire(m: Module, value: Any, name: str = "wire") -> Signal:
    """Assign a value to a new signal, so that it can be used several times."""
    cast = Value.cast(value)
    carried = Signal(Shape(len(cast), cast.shape().signed), name=name)
    m.d.comb += carried.eq(cast)
    return carried


def width_of(value: Any) -> int:
    """Return the width of a value in bits."""
    return len(Value.cast(value))


def shift_with_half(x: Any, shift: Any, raised: int = 0) -> Value:
    """Shift without rounding: ``floor(2·x · 2^(raised - shift))``; :func:`round_last_bit` rounds the result.

    Args:
        x: Signed or unsigned value.
        shift: Unsigned number of bits to shift right.
        raised: Constant number of bits to shift left first, so that one right shifter can shift both ways.
    """
    return Value.cast(x).shift_left(raised + 1) >> shift


def round_last_bit(twice: Any) -> Value:
    """Drop the last bit and round half up: ``floor((twice + 1) / 2)``."""
    return (Value.cast(twice) + 1) >> 1


def shift_round(x: Any, shift: Any) -> Value:
    """Shift right by an unsigned amount and round half up: ``round(x · 2^-shift)``."""
    return round_last_bit(shift_with_half(x, shift))


def clamp_signed(m: Module, x: Any, bits: int) -> Value:
    """Saturate a signed value to ``bits`` bits; a narrower value is returned unchanged."""
    if len(Value.cast(x)) <= bits:
        return Value.cast(x).as_signed()
    cast = wire(m, x, "unclamped")
    over = cast[bits - 1 : -1]
    sign = cast[-1]
    fits = Mux(sign, over.all(), ~over.any())
    return Mux(fits, cast[:bits], Cat((~sign).replicate(bits - 1), sign)).as_signed()


def clamp_either(m: Module, x: Any, bits: int, narrow: Any | None) -> Value:
    """Saturate to ``bits`` bits, or to 8 bits while ``narrow`` is high; None means always ``bits``."""
    if narrow is None:
        return clamp_signed(m, x, bits)
    wide = wire(m, clamp_signed(m, x, bits), "clamped")
    return Mux(narrow, clamp_signed(m, wide, 8), wide).as_signed()


def bit_length(m: Module, x: Any) -> Value:
    """Return the position of the leading one plus 1, or 0 for 0; see :func:`p2vit.numerics.rounding.bit_length`."""
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
    # `rest` is now the single bit at the position of the leading one.
    return wire(m, Cat(*reversed(count)) + rest[0], "length")


def offset_binary(x: Any) -> Value:
    """Return ``x + 128`` of an int8, which is x with an inverted sign bit: the address in a table of 256 entries."""
    return Cat(x[:7], ~x[7])


def tree(values: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """Reduce one or more values in a balanced tree."""
    row = list(values)
    while len(row) > 1:
        row = [combine(*row[i : i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]


def add_tree(values: Sequence[Any]) -> Value:
    """Return the exact sum; the width grows with the tree."""
    return tree(values, lambda a, b: a + b)


def larger(m: Module, a: Any, b: Any) -> Value:
    """Return the maximum of two values of the same signedness."""
    x, y = wire(m, a), wire(m, b)
    return wire(m, Mux(x >= y, x, y), "larger")


def smaller(m: Module, a: Any, b: Any) -> Value:
    """Return the minimum of two values of the same signedness."""
    x, y = wire(m, a), wire(m, b)
    return wire(m, Mux(x <= y, x, y), "smaller")


def largest(m: Module, values: Sequence[Any]) -> Value:
    """Return the maximum of one or more values."""
    return tree(values, lambda a, b: larger(m, a, b))


def smallest(m: Module, values: Sequence[Any]) -> Value:
    """Return the minimum of one or more values."""
    return tree(values, lambda a, b: smaller(m, a, b))
