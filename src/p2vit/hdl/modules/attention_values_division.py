"""Division by the sum of a softmax row: one reciprocal per row, then a product and a shift per output."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, Signal, signed, unsigned

from p2vit.hdl.arithmetic import round_last_bit, shift_with_half
from p2vit.hdl.datapath.attention_values import STEPS, TOTAL_BITS, RestoringDivider
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink, source
from p2vit.numerics.attention_values import QUOTIENT_BITS, QUOTIENT_FRACTION, RECIPROCAL_FRACTION, SHIFTS
from p2vit.numerics.rounding import bit_length as golden_bit_length
from p2vit.numerics.rounding import shift_round


class Reciprocal(OperatorModule):
    """``n = bit_length(total)``, ``r = ⌊2^(n+14) / total⌋``: step 2 of :class:`p2vit.numerics.AttentionValues`.

    Restoring division, one bit per cycle. That is fast enough, because a row needs one reciprocal for its whole
    product with V.

    Streams:
        i: ``total`` 1 to 2^31 − 1.
        o: ``r`` 16 bits, ``n`` 1 to 31.

    Latency: 17 cycles (load, 16 bits). Initiation interval: 18 cycles. Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "reciprocal of a softmax row's sum"

    def __init__(self) -> None:
        """Make the module; it has no parameters."""
        self.timing = ModuleTiming(STEPS + 1, STEPS + 2)
        super().__init__({"i": sink(total=TOTAL_BITS), "o": source(r=STEPS, n=5)})

    def configuration(self) -> dict[str, Any]:
        """Return no parameters."""
        return {}

    def elaborate(self, platform: Any) -> Module:
        """Build the divider, a cycle counter and the output register."""
        m = Module()
        busy, full = Signal(), Signal()
        count = Signal(range(STEPS))
        n = Signal(5, reset_less=True)
        division = RestoringDivider(m, self.i.payload.total)
        m.d.comb += [
            self.i.ready.eq(~busy & ~full),
            self.o.valid.eq(full),
            self.o.payload.r.eq(division.quotient),
            self.o.payload.n.eq(n),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [*division.load(), n.eq(division.length), busy.eq(1), count.eq(STEPS - 1)]
        with m.If(busy):
            m.d.sync += [*division.step(), count.eq(count - 1)]
            with m.If(count == 0):
                m.d.sync += [busy.eq(0), full.eq(1)]
        with m.If(full & self.o.ready):
            m.d.sync += full.eq(0)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute step 2 of :class:`p2vit.numerics.AttentionValues`."""
        total = np.asarray(inputs["i"]["total"], np.int64)
        n = golden_bit_length(total)
        return {"o": {"r": (np.int64(1) << (n + RECIPROCAL_FRACTION)) // total, "n": n}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make sums of every bit length, powers of two and their neighbours."""
        return {"i": {"total": np.maximum(corners(rng, TOTAL_BITS, (beats,), signed=False), 1)}}


class RowDivision(RequantizingModule):
    """``o = requantize(acc / total)``: steps 3 and 4 of :class:`p2vit.numerics.AttentionValues`.

    Streams:
        i: ``acc`` int32 [lanes] with |acc| ≤ 128·total, ``r`` and ``n`` [lanes] of each lane's row (from
            :class:`Reciprocal`), ``shift`` −16 to 8 [lanes], ``narrow`` (if 16 bits), ``last``.
        o: ``y`` [lanes], ``last``.

    Latency: 5 cycles (shift | round | multiply | shift | round and saturate). Throughput: one beat per cycle.
    Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "division of attention × V by the row's sum"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 8) -> None:
        """Make the module.

        Args:
            lanes_: Accumulators per cycle.
            output_bits: 8 or 16; with 16, each beat selects 16 or 8 bits (``narrow``).
        """
        fields = {
            "acc": lanes(signed(32), lanes_),
            "r": lanes(unsigned(STEPS), lanes_),
            "n": lanes(unsigned(5), lanes_),
            "shift": lanes(signed(6), lanes_),
        }
        i = sink(**fields, **narrow_field(output_bits), last=1)
        step = ShiftStage(output_bits, *(QUOTIENT_FRACTION + limit for limit in SHIFTS))
        super().__init__(lanes_, step, ModuleTiming(5), {"i": i})

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline of five stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        # acc · 2^-(n-8) with n from 1: shift left by 7 bits, then right by n - 1. |a| ≤ 2^15, so 18 bits hold 2a.
        a = pipe.stage(
            twice=[
                shift_with_half(beat.acc[k], (beat.n[k] - 1)[:5], raised=QUOTIENT_BITS - 1)[:18].as_signed()
                for k in each
            ],
            r=[beat.r[k] for k in each],
            amount=[(beat.shift[k] + QUOTIENT_FRACTION)[: self.step.shift_bits] for k in each],
            **self.flags(beat),
        )
        b = pipe.stage(
            a=[round_last_bit(value)[:17].as_signed() for value in a.twice],
            r=a.r,
            amount=a.amount,
            **self.flags(a),
        )
        c = pipe.stage(
            product=[(b.a[k] * b.r[k])[:32].as_signed() for k in each], amount=b.amount, **self.flags(b)
        )
        self.requantized(pipe, c.product, c.amount, c)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute steps 3 and 4 of :class:`p2vit.numerics.AttentionValues`."""
        i = inputs["i"]
        reduced = shift_round(np.asarray(i["acc"]), np.asarray(i["n"]) - QUOTIENT_BITS)
        product = shift_round(reduced * np.asarray(i["r"]), QUOTIENT_FRACTION + np.asarray(i["shift"]))
        return self.golden(i, product)

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make sums of every bit length, and accumulators up to ±128 times the sum."""
        size = (beats, self.lanes)
        bits = rng.integers(1, 25, size)
        total = np.maximum(rng.integers(0, 1 << 24, size) >> (24 - bits), 1)
        n = golden_bit_length(total)
        mean = corners(rng, 16, size)
        acc = np.clip((total * mean) >> 8, -128 * total, 127 * total)
        fields = {
            "acc": acc,
            "r": (np.int64(1) << (n + RECIPROCAL_FRACTION)) // total,
            "n": n,
            "shift": rng.integers(SHIFTS[0], SHIFTS[1] + 1, size),
        }
        return {"i": {**fields, **self.marks(rng, beats)}}
