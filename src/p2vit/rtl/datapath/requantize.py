"""Re-quantization by a shift: shift, round half up, saturate."""

from typing import Any

from amaranth.hdl import C, Module, Mux, Value, signed, unsigned

from p2vit.rtl.arithmetic import clamp_either, clamp_signed, round_last_bit, shift_with_half


class ShiftStage:
    """The shift of a re-quantization, ready for the register between its two stages.

    Left shifts cost nothing but width: as soon as ``x · 2^left`` leaves the output's range it saturates, so a
    shift by more than the output's width does what one by the width does.

    Attributes:
        output_bits: Width that is saturated to.
        left: Most places a value is shifted to the left, after that cap.
        shift_bits: Width of a signed shift amount (unsigned if ``left`` is 0).
    """

    def __init__(self, output_bits: int, least: int, most: int) -> None:
        self.output_bits = output_bits
        self.least, self.most = least, most
        self.left = min(max(-least, 0), output_bits)
        self.shift_bits = max(most.bit_length(), 1) if least >= 0 else 1 + max(most, -least - 1).bit_length()

    @property
    def shape(self) -> Any:
        """Shape of the shift amount's field."""
        return unsigned(self.shift_bits) if self.least >= 0 else signed(self.shift_bits)

    def first(self, m: Module, x: Any, shift: Any) -> Value:
        """``2 · x · 2^-shift``, floored, saturated to two bits more than the output needs."""
        if self.left:
            shift = Mux(shift < -self.left, C(0), shift + self.left)[: (self.most + self.left).bit_length()]
        return clamp_signed(m, shift_with_half(x, shift, raised=self.left), self.output_bits + 1)

    def second(self, m: Module, twice: Any, narrow: Any | None = None) -> Value:
        """Round the last bit and saturate to the output's width, or to 8 bits."""
        return clamp_either(m, round_last_bit(twice), self.output_bits, narrow)

    def both(self, m: Module, x: Any, shift: Any, narrow: Any | None = None) -> Value:
        """The two stages with no register between them."""
        return self.second(m, self.first(m, x, shift), narrow)
