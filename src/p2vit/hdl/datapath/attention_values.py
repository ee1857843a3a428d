"""Reciprocal of the sum of a softmax row, one bit per cycle: step 2 of ``AttentionValues``."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal

from p2vit.hdl.arithmetic import bit_length
from p2vit.numerics.attention_values import RECIPROCAL_FRACTION

#: Width of a row sum, which is below 2^31.
TOTAL_BITS = 31
#: Number of quotient bits: ⌊2^(n+14) / total⌋ is between 2^14 and 2^15.
STEPS = RECIPROCAL_FRACTION + 2


class RestoringDivider:
    """Restoring divider for ``⌊2^(n+14) / total⌋`` with n = bit_length(total).

    Latency: one cycle to load and ``STEPS`` cycles to divide. No handshake: the caller sequences the cycles.

    Attributes:
        length: n of the offered total.
        quotient: Quotient, 16 bits, valid after ``STEPS`` steps.
    """

    def __init__(self, m: Module, total: Any) -> None:
        self.total = total
        self.length = bit_length(m, total)
        self.quotient = Signal(STEPS, name="quotient", reset_less=True)
        self._divisor = Signal(TOTAL_BITS, name="divisor", reset_less=True)
        self._rest = Signal(TOTAL_BITS + 1, name="rest", reset_less=True)
        self._fits = Signal(name="fits")
        m.d.comb += self._fits.eq(self._rest >= self._divisor)

    def load(self) -> list[Any]:
        """Return the statements for the cycle that loads a total."""
        # The leading part of the numerator is 2^(n-1), at most `total`. So the first step gives the bit of weight
        # 2^15.
        return [
            self._divisor.eq(self.total),
            self._rest.eq((C(1, TOTAL_BITS + 1) << self.length)[1:]),
        ]

    def step(self) -> list[Any]:
        """Return the statements for each of the ``STEPS`` cycles after the load."""
        kept = (self._rest - Mux(self._fits, self._divisor, 0))[:TOTAL_BITS]
        return [self.quotient.eq(Cat(self._fits, self.quotient[:-1])), self._rest.eq(Cat(C(0, 1), kept))]
