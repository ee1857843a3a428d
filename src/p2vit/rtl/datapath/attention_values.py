"""The reciprocal of a softmax row's sum, a bit per cycle: step 2 of ``AttentionValues``."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal

from p2vit.numerics.attention_values import RECIPROCAL_FRACTION
from p2vit.rtl.arithmetic import bit_length

#: Bits of a row's sum: below 2^31.
TOTAL_BITS = 31
#: Quotient bits: ⌊2^(n+14) / total⌋ is 2^14 to 2^15.
STEPS = RECIPROCAL_FRACTION + 2


class RestoringDivider:
    """Registers of a restoring division, ``⌊2^(n+14) / total⌋`` with n = bit_length(total).

    Attributes:
        length: n of the total that is offered.
        quotient: 16 bits, complete after ``STEPS`` steps.
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
        """Statements for the cycle that takes a total."""
        # The numerator's leading part, 2^(n-1): at most one `total`, so the first bit decides 2^15.
        return [
            self._divisor.eq(self.total),
            self._rest.eq((C(1, TOTAL_BITS + 1) << self.length)[1:]),
        ]

    def step(self) -> list[Any]:
        """Statements for each of the ``STEPS`` cycles after it."""
        kept = (self._rest - Mux(self._fits, self._divisor, 0))[:TOTAL_BITS]
        return [self.quotient.eq(Cat(self._fits, self.quotient[:-1])), self._rest.eq(Cat(C(0, 1), kept))]
