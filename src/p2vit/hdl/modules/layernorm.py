"""Hardware module of the integer LayerNorm: three passes over a row (statistics, squares, output)."""

from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import C, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory
from numpy.typing import NDArray

from p2vit.hdl.arithmetic import (
    add_tree,
    clamp_signed,
    larger,
    largest,
    round_last_bit,
    shift_round,
    smaller,
    smallest,
    wire,
)
from p2vit.hdl.datapath.layernorm import (
    INDEX_BITS,
    TOTAL_BITS,
    centred_twice,
    common_shift,
    epsilon_twice,
    positive_total,
    root_exponent,
    root_index,
)
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import ModuleTiming
from p2vit.hdl.modules.layernorm_rows import LayerNormRows
from p2vit.hdl.modules.requantizing import narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import (
    CENTRED_BITS,
    ENTRY_BITS,
    EPSILON_BITS,
    TABLE_FIRST,
    rsqrt_table,
    squares_shift,
)


class LayerNormUnit(LayerNormRows):
    """:class:`p2vit.numerics.LayerNorm` on rows of C channels.

    The sender sends each row three times. Beats may follow each other without gaps, from pass to pass and from row to
    row. Three passes are needed, because the squares are taken of values that were scaled with the statistics of the
    row. The output shifts come on a stream of their own, one beat per output beat, so that no registers have to hold
    them.

    Streams:
        i: ``x`` int16 [lanes], ``left`` 0 to 15 [lanes] (``input_shift``), ``epsilon``, ``epsilon_shift``, ``last`` of
            the pass. In the last beat of a pass, lanes beyond C may hold any value.
        shifts: ``shift`` 14 to 30 [lanes]; one beat for each beat of the third pass.
        o: ``y`` [lanes], ``last``; lanes beyond C are undefined. ``narrow`` on ``shifts`` if built for 16 bits.

    Latency: 16 cycles for a beat of the third pass. Throughput: ``lanes`` elements per cycle and pass. Handshake:
    ready/valid streams.
    """

    about: ClassVar[str] = "LayerNorm"

    def __init__(
        self,
        channels: int,
        lanes_: int = 4,
        *,
        output_bits: int = 8,
        input_bits: int = 16,
        table: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Make the module.

        Args:
            channels: C, 2 to 16384.
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16, each beat of ``shifts`` selects 16 or 8 bits (``narrow``).
            input_bits: Width that an aligned input saturates to.
            table: Table of reciprocal roots; None makes the table for C.
        """
        self.channels, self.input_bits = channels, input_bits
        self.table = rsqrt_table(channels)[0] if table is None else table
        self.beats = -(-channels // lanes_)
        rows = sink(
            x=lanes(signed(16), lanes_),
            left=lanes(unsigned(4), lanes_),
            epsilon=unsigned(EPSILON_BITS + 1),
            epsilon_shift=signed(6),
            last=1,
        )
        shifts = sink(shift=lanes(unsigned(5), lanes_), **narrow_field(output_bits))
        timing = ModuleTiming(16, note="of the third pass; three passes of ⌈C / lanes⌉ beats")
        super().__init__(lanes_, ShiftStage(output_bits, 0, 31), timing, {"i": rows, "shifts": shifts})

    @classmethod
    def of(cls, operator: LayerNorm, lanes_: int) -> "LayerNormUnit":
        """Make the module for an operator. Shifts and epsilon come with the beats."""
        return cls(
            operator.channels,
            lanes_,
            output_bits=operator.output_bits,
            input_bits=operator.input_bits,
            table=operator.table,
        )

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"c": self.channels, "l": self.lanes, "i": self.input_bits, "o": self.output_bits}

    def elaborate(self, platform: Any) -> Module:
        """Build the stages: align | reduce | centre | range | k | shift | round | square | add | ..."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        count = self.channels
        tail = count - (self.beats - 1) * self.lanes
        wide = self.input_bits + count.bit_length()
        turn, begin = Signal(2), Signal(init=1)
        with m.If(pipe.fires):
            m.d.sync += begin.eq(beat.last)
            with m.If(beat.last):
                m.d.sync += turn.eq(Mux(turn == 2, 0, turn + 1))
        marks = {"turn": turn, "last": beat.last, "first": begin}
        config = {"epsilon": beat.epsilon, "epsilon_shift": beat.epsilon_shift}

        def carried(stage: Any, *names: str) -> dict[str, Any]:
            return {name: getattr(stage, name) for name in ("turn", "last", "first", *names)}

        aligned = [
            clamp_signed(m, (beat.x[k] << beat.left[k])[:31].as_signed(), self.input_bits) for k in each
        ]
        s1 = pipe.stage(a=aligned, **marks, **config)
        live = [~s1.last | C(k < tail, 1) for k in each]
        s2 = pipe.stage(
            a=s1.a,
            sum=add_tree([Mux(live[k], s1.a[k], C(0, signed(1))).as_signed() for k in each]),
            least=smallest(m, [Mux(live[k], s1.a[k], s1.a[0]).as_signed() for k in each]),
            most=largest(m, [Mux(live[k], s1.a[k], s1.a[0]).as_signed() for k in each]),
            **carried(s1, "epsilon", "epsilon_shift"),
        )
        # Stage 3: statistics of the row in the first pass; centring in the other passes.
        total = Signal(signed(wide), reset_less=True)
        least, most = (
            Signal(signed(self.input_bits), reset_less=True, name=name) for name in ("least", "most")
        )
        lower, upper = smaller(m, least, s2.least), larger(m, most, s2.most)
        with m.If(pipe.fires & (s2.turn == 0)):
            m.d.sync += [
                total.eq(Mux(s2.first, 0, total) + s2.sum),
                least.eq(Mux(s2.first, s2.least, lower)),
                most.eq(Mux(s2.first, s2.most, upper)),
            ]
        s3 = pipe.stage(
            keep=(s2.turn != 0) | s2.last,
            centred=[(s2.a[k] * count - total)[: wide + 1].as_signed() for k in each],
            live=[~s2.last | C(k < tail, 1) for k in each],
            **carried(s2, "epsilon", "epsilon_shift"),
        )
        high, low = (most * count - total)[:wide], (total - least * count)[:wide]
        s4 = pipe.stage(
            centred=s3.centred,
            largest=larger(m, high, low),
            live=s3.live,
            **carried(s3, "epsilon", "epsilon_shift"),
        )
        # Stage 5: k of the row, kept from the first pass.
        k_found = common_shift(m, s4.largest, s4.epsilon_shift)
        k_row = Signal(signed(6), reset_less=True)
        with m.If(pipe.fires & (s4.turn == 0)):
            m.d.sync += k_row.eq(k_found)
        s5 = pipe.stage(
            keep=s4.turn != 0,
            centred=s4.centred,
            live=s4.live,
            **carried(s4, "epsilon", "epsilon_shift"),
        )
        # Stages 6 and 7: d = c · 2^-k, and ε at the same k. Shift left by 14 bits first, because k is at least −14.
        amount = wire(m, (k_row + CENTRED_BITS)[:6], "centred_shift")
        s6 = pipe.stage(
            twice=[centred_twice(value, amount)[: CENTRED_BITS + 3].as_signed() for value in s5.centred],
            epsilon=epsilon_twice(s5.epsilon, k_row, s5.epsilon_shift),
            live=s5.live,
            **carried(s5),
        )
        s7 = pipe.stage(
            d=[round_last_bit(value)[: CENTRED_BITS + 2].as_signed() for value in s6.twice],
            epsilon=round_last_bit(s6.epsilon)[: EPSILON_BITS + 1],
            live=s6.live,
            **carried(s6),
        )
        # Stages 8 to 10: the sum of squares (second pass).
        fraction = squares_shift(count)
        reduced = [
            wire(m, shift_round(value, fraction)[: CENTRED_BITS + 2].as_signed(), "reduced") for value in s7.d
        ]
        squares = [(value * value)[: 2 * CENTRED_BITS + 1] for value in reduced]
        s8 = pipe.stage(
            d=s7.d,
            squares=[Mux(alive, value, 0) for value, alive in zip(squares, s7.live, strict=True)],
            epsilon=s7.epsilon,
            **carried(s7),
        )
        s9 = pipe.stage(d=s8.d, sum=add_tree(s8.squares)[:TOTAL_BITS], epsilon=s8.epsilon, **carried(s8))
        energy = Signal(TOTAL_BITS, reset_less=True)
        with m.If(pipe.fires & (s9.turn == 1)):
            m.d.sync += energy.eq((Mux(s9.first, 0, energy) + s9.sum)[:TOTAL_BITS])
        s10 = pipe.stage(keep=(s9.turn != 1) | s9.last, d=s9.d, epsilon=s9.epsilon, **carried(s9))
        s11 = pipe.stage(d=s10.d, total=positive_total(m, energy, s10.epsilon), **carried(s10))
        # Stages 12 and 13: j, and the table entry for the mantissa total · 2^-2j in [2^28, 2^30).
        j = wire(m, root_exponent(m, s11.total), "j")
        table = m.submodules.table = memory.Memory(
            shape=unsigned(ENTRY_BITS),
            depth=1 << INDEX_BITS,
            init=[0] * TABLE_FIRST + [int(value) for value in self.table],
        )
        port = table.read_port()
        s12 = pipe.stage(d=s11.d, index=root_index(s11.total, j), j=j, **carried(s11))
        m.d.comb += [port.addr.eq(s12.index), port.en.eq(pipe.advance)]
        s13 = pipe.stage(d=s12.d, j=s12.j, **carried(s12))
        # Stage 14: the second pass keeps the factor of the row; the third pass multiplies by it and joins the shifts.
        factor, exponent = Signal(ENTRY_BITS, reset_less=True), Signal(signed(5), reset_less=True)
        with m.If(pipe.fires & (s13.turn == 1)):
            m.d.sync += [factor.eq(port.data), exponent.eq(s13.j)]
        side = pipe.join(self.shifts, s13.turn == 2)
        s14 = pipe.stage(
            keep=s13.turn == 2,
            product=[(value * factor)[: CENTRED_BITS + ENTRY_BITS + 2].as_signed() for value in s13.d],
            amount=[(side.shift[k] + exponent)[:5] for k in each],
            last=s13.last,
            **self.narrow(side),
        )
        self.requantized(pipe, s14.product, s14.amount, s14)
        return m
