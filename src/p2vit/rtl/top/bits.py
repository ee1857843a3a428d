"""Arithmetic that every engine needs, as Amaranth expressions: rounding shifts, saturation, widths."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed

from p2vit.rtl.arithmetic import shift_round
from p2vit.rtl.top.descriptor import DESCRIPTOR_BITS, FIELDS, Kind


def field(word: Value, kind: Kind, name: str, *, is_signed: bool = False) -> Value:
    """A field of a descriptor, by the list that encodes it."""
    at = 0
    for key, width in FIELDS[kind]:
        if key == name:
            part = word[at : at + width]
            return part.as_signed() if is_signed else part
        at += width
    raise KeyError(f"{kind.name}.{name}")


def descriptor_shape() -> int:
    """Bits of a descriptor."""
    return DESCRIPTOR_BITS


def round_right(x: Value, amount: Value, width: int) -> Value:
    """``(x + 2^(s-1)) >> s`` for s ≥ 0, at a width.

    Args:
        x: Signed.
        amount: Unsigned, s.
        width: Of the result; the caller knows that it fits.
    """
    return shift_round(x, amount)[:width].as_signed()


def clamp(x: Value, bits: int) -> Value:
    """Saturate a signed value to a signed width."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return Mux(
        x > high, Const(high, signed(bits)), Mux(x < low, Const(low, signed(bits)), x[:bits].as_signed())
    )


def saturated(x: Value, planes: Value) -> Value:
    """Saturate to 8, 16 or 32 bits for 1, 2 or 4 byte planes; 32 bits wide."""
    return Mux(planes[2], x[:32].as_signed(), Mux(planes[1], clamp(x, 16), clamp(x, 8)))


def requantized(m: Module, x: Value, shift: Value, planes: Value, name: str) -> Value:
    """Shift, round half up and saturate.

    Args:
        m: Module that gets the intermediate signals.
        x: Signed, at most 34 bits.
        shift: Signed, −7 to 31.
        planes: Bytes of the output.
        name: Of the signals.
    """
    # A left shift is at most 7; a right shift at most 31.
    aligned = Signal(signed(42), name=f"{name}_aligned")
    rounded = Signal(signed(42), name=f"{name}_rounded")
    m.d.comb += [
        aligned.eq(x << Mux(shift < 0, (-shift)[:3], 0)),
        rounded.eq(round_right(aligned, Mux(shift < 0, 0, shift[:5]), 42)),
    ]
    return saturated(rounded, planes)


def bit_length(m: Module, x: Value, name: str) -> Value:
    """Position of the leading one plus one; 0 for 0."""
    found = Signal(range(len(x) + 1), name=name)
    for position in range(len(x)):
        with m.If(x[position]):
            m.d.comb += found.eq(position + 1)
    return found
