"""Division by the softmax row's sum: one reciprocal per row, then a product and a shift per output."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned

from p2vit.numerics.attention import QUOTIENT_FRACTION
from p2vit.numerics.rounding import bit_length as golden_bit_length
from p2vit.numerics.rounding import saturate, shift_round
from p2vit.rtl.arithmetic import bit_length, round_last_bit, shift_with_half
from p2vit.rtl.modules.base import Fields, OperatorModule, Streams, Timing, corners
from p2vit.rtl.modules.requantizer import ShiftStage
from p2vit.rtl.stream import Pipe, lanes, sink, source

#: Bits of a row's sum: below 2^31.
TOTAL_BITS = 31
#: Quotient bits: ⌊2^(n+14) / total⌋ is 2^14 to 2^15.
STEPS = 16


class Reciprocal(OperatorModule):
    """``n = bit_length(total)``, ``r = ⌊2^(n+14) / total⌋``: step 2 of :class:`p2vit.numerics.AttentionValues`.

    Restoring division, one bit per cycle: a row needs one in the time of its whole product with V.

    Streams:
        i: ``total`` 1 to 2^31 − 1.
        o: ``r`` 16 bits, ``n`` 1 to 31.

    Latency 17 (load, 16 bits), the next total is taken 18 cycles after this one at the earliest.
    """

    about: ClassVar[str] = "reciprocal of a softmax row's sum"

    def __init__(self) -> None:
        """It has no parameters."""
        self.timing = Timing(STEPS + 1, STEPS + 2)
        super().__init__({"i": sink(total=TOTAL_BITS), "o": source(r=STEPS, n=5)})

    def configuration(self) -> dict[str, Any]:
        """None."""
        return {}

    def elaborate(self, platform: Any) -> Module:
        """A remainder, a quotient, a counter."""
        m = Module()
        busy, full = Signal(), Signal()
        count = Signal(range(STEPS))
        total = Signal(TOTAL_BITS, reset_less=True)
        rest = Signal(TOTAL_BITS + 1, reset_less=True)
        quotient = Signal(STEPS, reset_less=True)
        n = Signal(5, reset_less=True)
        length = bit_length(m, self.i.payload.total)
        m.d.comb += [
            self.i.ready.eq(~busy & ~full),
            self.o.valid.eq(full),
            self.o.payload.r.eq(quotient),
            self.o.payload.n.eq(n),
        ]
        fits = Signal()
        m.d.comb += fits.eq(rest >= total)
        with m.If(self.i.valid & self.i.ready):
            # The numerator's leading part, 2^(n-1): at most one `total`, so the first bit decides 2^15.
            m.d.sync += [
                total.eq(self.i.payload.total),
                n.eq(length),
                rest.eq((C(1, TOTAL_BITS + 1) << length)[1:]),
                busy.eq(1),
                count.eq(STEPS - 1),
            ]
        with m.If(busy):
            m.d.sync += [
                quotient.eq(Cat(fits, quotient[:-1])),
                rest.eq(Cat(C(0, 1), (rest - Mux(fits, total, 0))[:TOTAL_BITS])),
                count.eq(count - 1),
            ]
            with m.If(count == 0):
                m.d.sync += [busy.eq(0), full.eq(1)]
        with m.If(full & self.o.ready):
            m.d.sync += full.eq(0)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Step 2 of :class:`p2vit.numerics.AttentionValues`."""
        total = np.asarray(inputs["i"]["total"], np.int64)
        n = golden_bit_length(total)
        return {"o": {"r": (np.int64(1) << (n + 14)) // total, "n": n}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Sums of every length, powers of two and their neighbours."""
        return {"i": {"total": np.maximum(corners(rng, TOTAL_BITS, (beats,), signed=False), 1)}}


class RowDivision(OperatorModule):
    """``o = requantize(acc / total)``: steps 3 and 4 of :class:`p2vit.numerics.AttentionValues`.

    Streams:
        i: ``acc`` int32 [lanes] with |acc| ≤ 128·total, ``r`` and ``n`` [lanes] of each lane's row (from
            :class:`Reciprocal`), ``shift`` −16 to 8 [lanes], ``narrow`` (if 16 bits), ``last``.
        o: ``y`` [lanes], ``last``.

    Latency 5 (shift | round | multiply | shift | round and saturate), one beat per cycle.
    """

    about: ClassVar[str] = "division of attention × V by the row's sum"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 8) -> None:
        """Choose the structure.

        Args:
            lanes_: Accumulators at once.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
        """
        self.lanes, self.output_bits = lanes_, output_bits
        self.step = ShiftStage(output_bits, QUOTIENT_FRACTION - 16, QUOTIENT_FRACTION + 8)
        self.timing = Timing(5)
        extra = {"narrow": 1} if output_bits > 8 else {}
        super().__init__(
            {
                "i": sink(
                    acc=lanes(signed(32), lanes_),
                    r=lanes(unsigned(STEPS), lanes_),
                    n=lanes(unsigned(5), lanes_),
                    shift=lanes(signed(6), lanes_),
                    **extra,
                    last=1,
                ),
                "o": source(y=lanes(signed(output_bits), lanes_), last=1),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"l": self.lanes, "o": self.output_bits}

    def elaborate(self, platform: Any) -> Module:
        """Five stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        narrow = {"narrow": beat.narrow} if self.output_bits > 8 else {}

        def carried(stage: Any) -> dict[str, Any]:
            return {"last": stage.last, **({"narrow": stage.narrow} if narrow else {})}

        # acc · 2^-(n-8) with n from 1: seven places up, then n - 1 down. |a| ≤ 2^15, so 18 bits hold 2a.
        raised = [Cat(C(0, 7), beat.acc[k]).as_signed() for k in each]
        a = pipe.stage(
            twice=[shift_with_half(raised[k], (beat.n[k] - 1)[:5])[:18].as_signed() for k in each],
            r=[beat.r[k] for k in each],
            amount=[(beat.shift[k] + QUOTIENT_FRACTION)[: self.step.shift_bits] for k in each],
            last=beat.last,
            **narrow,
        )
        b = pipe.stage(
            a=[round_last_bit(value)[:17].as_signed() for value in a.twice],
            r=a.r,
            amount=a.amount,
            **carried(a),
        )
        c = pipe.stage(
            product=[(b.a[k] * b.r[k])[:32].as_signed() for k in each], amount=b.amount, **carried(b)
        )
        d = pipe.stage(twice=[self.step.first(m, c.product[k], c.amount[k]) for k in each], **carried(c))
        flag = d.narrow if narrow else None
        e = pipe.stage(y=[self.step.second(m, value, flag) for value in d.twice], last=d.last)
        pipe.finish(y=e.y, last=e.last)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Steps 3 and 4 of :class:`p2vit.numerics.AttentionValues`."""
        i = inputs["i"]
        reduced = shift_round(np.asarray(i["acc"]), np.asarray(i["n"]) - 8)
        product = shift_round(reduced * np.asarray(i["r"]), QUOTIENT_FRACTION + np.asarray(i["shift"]))
        y = saturate(product, self.output_bits)
        if self.output_bits > 8:
            y = np.where(np.asarray(i["narrow"])[:, None] != 0, saturate(y, 8), y)
        return {"o": {"y": y, "last": np.asarray(i["last"], np.int64)}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Sums of every length, accumulators up to ±128 times the sum."""
        size = (beats, self.lanes)
        bits = rng.integers(1, 25, size)
        total = np.maximum(rng.integers(0, 1 << 24, size) >> (24 - bits), 1)
        n = golden_bit_length(total)
        mean = corners(rng, 16, size)
        acc = np.clip((total * mean) >> 8, -128 * total, 127 * total)
        fields = {
            "acc": acc,
            "r": (np.int64(1) << (n + 14)) // total,
            "n": n,
            "shift": rng.integers(-16, 9, size),
            "last": rng.integers(0, 2, beats),
        }
        if self.output_bits > 8:
            fields["narrow"] = rng.integers(0, 2, beats)
        return {"i": fields}
