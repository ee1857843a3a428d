"""Datapath of the re-quantization: shift, round half up, saturate."""

from typing import Any

from amaranth.hdl import C, Module, Mux, Value, signed, unsigned

from p2vit.hdl.arithmetic import clamp_either, clamp_signed, round_last_bit, shift_with_half


class ShiftStage:
    """Re-quantization in two combinational steps, which a register may separate.

    Left shifts cost only width. A result outside the output's range saturates, so a shift by more bits than the output
    has gives the same result as a shift by the output's width.

    Attributes:
        output_bits: Width of the output.
        left: Largest left shift, capped at the output's width.
        shift_bits: Width of the shift amount; it is signed, or unsigned if ``left`` is 0.
    """

    def __init__(self, output_bits: int, least: int, most: int) -> None:
        self.output_bits = output_bits
        self.least, self.most = least, most
        self.left = min(max(-least, 0), output_bits)
        self.shift_bits = max(most.bit_length(), 1) if least >= 0 else 1 + max(most, -least - 1).bit_length()

    @property
    def shape(self) -> Any:
        """Shape of the shift amount."""
        return unsigned(self.shift_bits) if self.least >= 0 else signed(self.shift_bits)

    def first(self, m: Module, x: Any, shift: Any) -> Value:
        """First step: ``2 · x · 2^-shift``, floored and saturated to one bit more than the output has."""
        if self.left:
            shift = Mux(shift < -self.left, C(0), shift + self.left)[: (self.most + self.left).bit_length()]
        return clamp_signed(m, shift_with_half(x, shift, raised=self.left), self.output_bits + 1)

    def second(self, m: Module, twice: Any, narrow: Any | None = None) -> Value:
        """Second step: round the last bit and saturate to the output's width, or to 8 bits if ``narrow``."""
        return clamp_either(m, round_last_bit(twice), self.output_bits, narrow)

    def both(self, m: Module, x: Any, shift: Any, narrow: Any | None = None) -> Value:
        """Both steps without a register between them."""
        return self.second(m, self.first(m, x, shift), narrow)
