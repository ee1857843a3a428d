"""Integer LayerNorm: a row passes three times (statistics, squares, output) through one pipeline."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory
from numpy.typing import NDArray

from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import (
    CENTRED_BITS,
    INDEX_SHIFT,
    TABLE_FIRST,
    rsqrt_table,
    squares_shift,
)
from p2vit.numerics.rounding import saturate
from p2vit.rtl.arithmetic import (
    add_tree,
    bit_length,
    clamp_signed,
    larger,
    largest,
    round_last_bit,
    shift_round,
    shift_with_half,
    smaller,
    smallest,
    wire,
)
from p2vit.rtl.modules.base import Fields, OperatorModule, Streams, Timing, corners
from p2vit.rtl.modules.requantizer import ShiftStage
from p2vit.rtl.stream import Pipe, lanes, sink, source

#: A sum of squares and an epsilon stay below 2^31.
TOTAL_BITS = 31


class LayerNormUnit(OperatorModule):
    """:class:`p2vit.numerics.LayerNorm` on rows of C channels.

    A row is sent three times in a row; beats follow each other without a gap, from pass to pass and from row to row:
    ``lanes`` elements per cycle and pass. Three passes, because the squares are those of values that were
    normalised with what the statistics say. Shifts of the output come on a stream of their own, one beat per output
    beat, so that they need not wait in registers.

    Streams:
        i: ``x`` int16 [lanes], ``left`` 0 to 15 [lanes] (``input_shift``), ``epsilon``, ``epsilon_shift``, ``last`` of
            the pass. Lanes beyond C in a pass's last beat may hold anything.
        shifts: ``shift`` 14 to 30 [lanes]; one beat for each beat of the third pass.
        o: ``y`` [lanes], ``last``; lanes beyond C are undefined. ``narrow`` on ``shifts`` if built for 16 bits.

    Latency of a third-pass beat: 16.
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
        """Choose the structure.

        Args:
            channels: C, 2 to 16384.
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16 each beat of ``shifts`` chooses 16 or 8 (``narrow``).
            input_bits: What an aligned input saturates to.
            table: The operator's; default the one of C.
        """
        self.channels, self.lanes = channels, lanes_
        self.output_bits, self.input_bits = output_bits, input_bits
        self.table = rsqrt_table(channels)[0] if table is None else table
        self.step = ShiftStage(output_bits, 0, 31)
        self.timing = Timing(16, note="of the third pass; three passes of ⌈C / lanes⌉ beats")
        self.beats = -(-channels // lanes_)
        extra = {"narrow": 1} if output_bits > 8 else {}
        super().__init__(
            {
                "i": sink(
                    x=lanes(signed(16), lanes_),
                    left=lanes(unsigned(4), lanes_),
                    epsilon=unsigned(30),
                    epsilon_shift=signed(6),
                    last=1,
                ),
                "shifts": sink(shift=lanes(unsigned(5), lanes_), **extra),
                "o": source(y=lanes(signed(output_bits), lanes_), last=1),
            }
        )

    @classmethod
    def of(cls, operator: LayerNorm, lanes_: int) -> "LayerNormUnit":
        """The unit of an operator; its shifts and epsilon come with the beats."""
        return cls(
            operator.channels,
            lanes_,
            output_bits=operator.output_bits,
            input_bits=operator.input_bits,
            table=operator.table,
        )

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"c": self.channels, "l": self.lanes, "i": self.input_bits, "o": self.output_bits}

    def elaborate(self, platform: Any) -> Module:
        """Align | reduce | centre | spread | k | shift | round | square | add | accumulate | ε | index | table | ..."""
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
        # Stage 3: the row's statistics (first pass), centring with them (the others).
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
        # Stage 5: k of the row, left by the first pass.
        k_found = larger(m, (bit_length(m, s4.largest) - CENTRED_BITS).as_signed(), s4.epsilon_shift)
        k_row = Signal(signed(6), reset_less=True)
        with m.If(pipe.fires & (s4.turn == 0)):
            m.d.sync += k_row.eq(k_found)
        s5 = pipe.stage(
            keep=s4.turn != 0,
            centred=s4.centred,
            live=s4.live,
            **carried(s4, "epsilon", "epsilon_shift"),
        )
        # Stages 6 and 7: d = c · 2^-k, and ε at the same k. Up 14 places first: k is −14 at least.
        amount = wire(m, (k_row + CENTRED_BITS)[:6], "centred_shift")
        s6 = pipe.stage(
            twice=[
                shift_with_half(Cat(C(0, CENTRED_BITS), value).as_signed(), amount)[
                    : CENTRED_BITS + 3
                ].as_signed()
                for value in s5.centred
            ],
            epsilon=shift_with_half(s5.epsilon, ((k_row - s5.epsilon_shift) << 1)[:7]),
            live=s5.live,
            **carried(s5),
        )
        s7 = pipe.stage(
            d=[round_last_bit(value)[: CENTRED_BITS + 2].as_signed() for value in s6.twice],
            epsilon=round_last_bit(s6.epsilon)[:30],
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
        raw = wire(m, (energy + s10.epsilon)[:TOTAL_BITS], "raw")
        s11 = pipe.stage(d=s10.d, total=raw | ~raw.any(), **carried(s10))
        # Stages 12 and 13: j and the table's entry for the mantissa total · 2^-2j in [2^28, 2^30).
        j = wire(m, ((bit_length(m, s11.total) - 29) >> 1)[:5].as_signed(), "j")
        raised = Cat(C(0, 2 * CENTRED_BITS), s11.total)
        mantissa = raised >> ((j + CENTRED_BITS) << 1)[:5]
        table = m.submodules.table = memory.Memory(
            shape=unsigned(15), depth=1024, init=[0] * TABLE_FIRST + [int(value) for value in self.table]
        )
        port = table.read_port()
        index = mantissa[INDEX_SHIFT : INDEX_SHIFT + 10]
        s12 = pipe.stage(d=s11.d, index=index, j=j, **carried(s11))
        m.d.comb += [port.addr.eq(s12.index), port.en.eq(pipe.advance)]
        s13 = pipe.stage(d=s12.d, j=s12.j, **carried(s12))
        # Stage 14: the second pass leaves the row's factor, the third multiplies by it and meets its shifts.
        factor, exponent = Signal(15, reset_less=True), Signal(signed(5), reset_less=True)
        with m.If(pipe.fires & (s13.turn == 1)):
            m.d.sync += [factor.eq(port.data), exponent.eq(s13.j)]
        side = pipe.join(self.shifts, s13.turn == 2)
        narrow = {"narrow": side.narrow} if self.output_bits > 8 else {}
        s14 = pipe.stage(
            keep=s13.turn == 2,
            product=[(value * factor)[: CENTRED_BITS + 17].as_signed() for value in s13.d],
            amount=[(side.shift[k] + exponent)[:5] for k in each],
            last=s13.last,
            **narrow,
        )
        carry = {"narrow": s14.narrow} if narrow else {}
        s15 = pipe.stage(
            twice=[self.step.first(m, s14.product[k], s14.amount[k]) for k in each], last=s14.last, **carry
        )
        flag = s15.narrow if narrow else None
        s16 = pipe.stage(y=[self.step.second(m, value, flag) for value in s15.twice], last=s15.last)
        pipe.finish(y=s16.y, last=s16.last)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """:class:`p2vit.numerics.LayerNorm`, rows with the same parameters together."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        side = {name: np.asarray(value, np.int64) for name, value in inputs["shifts"].items()}
        rows = len(i["last"]) // (3 * self.beats)

        def row_of(values: NDArray[np.int64], passes: int) -> NDArray[np.int64]:
            return values.reshape(rows, passes, -1)[:, 0, : self.channels]

        x, left = row_of(i["x"], 3), row_of(i["left"], 3)
        shift = row_of(side["shift"], 1)
        epsilon, epsilon_shift = (i[name].reshape(rows, -1)[:, 0] for name in ("epsilon", "epsilon_shift"))
        parameters = np.concatenate([left, shift, epsilon[:, None], epsilon_shift[:, None]], axis=1)
        y = np.zeros((rows, self.beats * self.lanes), np.int64)
        _, kinds = np.unique(parameters, axis=0, return_inverse=True)
        kinds = kinds.ravel()
        for kind in range(kinds.max(initial=-1) + 1):
            which = np.flatnonzero(kinds == kind)
            one = which[0]
            norm = LayerNorm(
                self.channels,
                left[one],
                self.table,
                shift[one],
                int(epsilon[one]),
                int(epsilon_shift[one]),
                self.input_bits,
                self.output_bits,
            )
            y[which, : self.channels] = norm.compute(x[which][None])[0]
        y = y.reshape(rows * self.beats, self.lanes)
        if self.output_bits > 8:
            y = np.where(side["narrow"][:, None] != 0, saturate(y, 8), y)
        last = np.zeros((rows, self.beats), np.int64)
        last[:, -1] = 1
        return {"o": {"y": y, "last": last.ravel()}}

    def matters(self, stream: str, field: str, outputs: Streams) -> NDArray[np.bool_] | None:
        """Lanes beyond C are undefined."""
        if field != "y":
            return None
        alive = np.arange(self.beats * self.lanes) < self.channels
        rows = len(outputs[stream]["last"]) // self.beats
        return np.tile(alive.reshape(self.beats, self.lanes), (rows, 1))

    def row_beats(
        self,
        x: NDArray[np.integer[Any]],
        left: NDArray[np.integer[Any]],
        shift: NDArray[np.integer[Any]],
        epsilon: int,
        epsilon_shift: int,
    ) -> Streams:
        """Beats of three passes over each row.

        Args:
            x: int16 [rows, C].
            left: ``input_shift``, [C].
            shift: Of the operator, [C].
            epsilon: Of the operator.
            epsilon_shift: Of the operator.
        """
        rows, room = len(x), self.beats * self.lanes

        def padded(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
            wide = np.zeros((*values.shape[:-1], room), np.int64)
            wide[..., : self.channels] = values
            return wide

        passes = np.repeat(padded(x)[:, None], 3, axis=1).reshape(-1, self.lanes)
        count = len(passes)
        last = np.zeros((rows * 3, self.beats), np.int64)
        last[:, -1] = 1
        return {
            "i": {
                "x": passes,
                "left": np.tile(padded(left).reshape(self.beats, self.lanes), (rows * 3, 1)),
                "epsilon": np.full(count, epsilon),
                "epsilon_shift": np.full(count, epsilon_shift),
                "last": last.ravel(),
            },
            "shifts": {"shift": np.tile(padded(shift).reshape(self.beats, self.lanes), (rows, 1))},
        }

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Rows of every kind: quiet, constant, extreme, with outliers; several sets of parameters."""
        parts = []
        count = 0
        while count < beats:
            rows = int(rng.integers(1, 6))
            x = corners(rng, 16, (rows, self.channels)) >> rng.integers(0, 16, (rows, 1))
            x = x + (rng.integers(-(1 << 14), 1 << 14, (rows, 1)) >> rng.integers(0, 15, (rows, 1)))
            alike = rng.integers(0, 6, (rows, 1)) == 0
            x = np.clip(np.where(alike, x[:, :1], x), -(1 << 15), (1 << 15) - 1)
            left = (
                rng.integers(0, 16, self.channels)
                if rng.integers(0, 2)
                else np.zeros(self.channels, np.int64)
            )
            epsilon = int(corners(rng, 29, (1,), signed=False)[0]) if rng.integers(0, 4) else 1 << 29
            part = self.row_beats(
                x, left, rng.integers(14, 31, self.channels), epsilon, int(rng.integers(-CENTRED_BITS, 32))
            )
            if self.output_bits > 8:
                part["shifts"]["narrow"] = rng.integers(0, 2, len(part["shifts"]["shift"]))
            parts.append(part)
            count += len(part["i"]["last"])
        return {
            stream: {
                name: np.concatenate([part[stream][name] for part in parts]) for name in parts[0][stream]
            }
            for stream in parts[0]
        }
