"""Hardware module of the integer softmax: two passes over a row, for the maximum, and for codes and their sum."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from amaranth.hdl import C, Module, Mux, Signal, signed, unsigned
from numpy.typing import NDArray

from p2vit.hdl.arithmetic import add_tree, larger, largest, shift_with_half
from p2vit.hdl.datapath.softmax import (
    cut_distance,
    exp2_table,
    linear_code,
    linear_twice,
    log2_code,
    octaves_of,
    rounded_distance,
    table_index,
    times_weight,
    whole_octaves,
)
from p2vit.hdl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.hdl.stream import Pipe, lanes, sink, source
from p2vit.numerics import AttentionValues, Softmax
from p2vit.numerics.attention_values import GUARDS
from p2vit.numerics.softmax import DISTANCE_BITS, LARGEST_LOG2_CODE, LARGEST_SHIFT, OCTAVE_FACTOR

#: Largest useful left shift: more bits than a distance has would saturate in the same way.
MOST_LEFT = DISTANCE_BITS


class SoftmaxUnit(OperatorModule):
    """Codes of :class:`p2vit.numerics.Softmax` and the running sum of their weights.

    The sender sends each row twice. The first pass finds the maximum and has no output. Beats may follow each other
    without gaps, from pass to pass and from row to row.

    Streams:
        i: ``s`` int32 scores [lanes], ``live``: number of lanes in use in this beat (1 to lanes), ``shift`` −24 to 24,
            ``guard`` of the following attention × V (log2 form only), ``last`` of the pass.
        o: ``code`` [lanes], ``total``: sum of the row's weights up to this beat; the whole sum at ``last``. Lanes that
            are not in use have code 0 (linear) or 15 (log2) and do not count in the sum.

    Latency: 10 (linear) or 8 (log2) cycles for a beat of the second pass. Throughput: ``lanes`` elements per cycle and
    pass.
    Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "softmax codes and row sum"

    def __init__(self, lanes_: int = 4, *, form: Literal["linear", "log2"] = "linear") -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle.
            form: ``linear`` for 8-bit codes from a table, ``log2`` for 4-bit codes.
        """
        self.lanes, self.form = lanes_, form
        self.code_bits = 8 if form == "linear" else 4
        latency = 10 if form == "linear" else 8
        self.timing = ModuleTiming(latency, note="of the second pass; two passes of ⌈keys / lanes⌉ beats")
        extra = {} if form == "linear" else {"guard": 4}
        super().__init__(
            {
                "i": sink(
                    s=lanes(signed(32), lanes_),
                    live=unsigned(lanes_.bit_length()),
                    shift=signed(6),
                    **extra,
                    last=1,
                ),
                "o": source(code=lanes(unsigned(self.code_bits), lanes_), total=unsigned(32), last=1),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"l": self.lanes, "f": self.form}

    @classmethod
    def of(cls, operator: Softmax, lanes_: int) -> "SoftmaxUnit":
        """Make the module for an operator."""
        return cls(lanes_, form=operator.form)

    def elaborate(self, platform: Any) -> Module:
        """Build the stages: maximum, distance, octaves, code, sum."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        log2 = self.form == "log2"
        second, begin = Signal(), Signal(init=1)
        with m.If(pipe.fires):
            m.d.sync += begin.eq(beat.last)
            with m.If(beat.last):
                m.d.sync += second.eq(~second)
        live = [beat.live > k for k in each]
        most_negative = C(-(1 << 31), signed(32))
        highest = largest(m, [Mux(live[k], beat.s[k], most_negative).as_signed() for k in each])

        def carried(stage: Any) -> dict[str, Any]:
            names = ("live", "last", "first", *(("guard",) if log2 else ()))
            return {name: getattr(stage, name) for name in names}

        guard = {"guard": beat.guard} if log2 else {}
        a = pipe.stage(
            s=[beat.s[k] for k in each],
            most=highest,
            second=second,
            live=live,
            last=beat.last,
            first=begin,
            shift=beat.shift,
            **guard,
        )
        maximum = Signal(signed(32), reset_less=True)
        upper = larger(m, maximum, a.most)
        with m.If(pipe.fires & ~a.second):
            m.d.sync += maximum.eq(Mux(a.first, a.most, upper))
        b = pipe.stage(
            keep=a.second,
            distance=[(maximum - a.s[k])[:32] for k in each],
            # The distance is shifted left by MOST_LEFT bits first, so that one right shift serves both directions.
            amount=Mux(a.shift < -MOST_LEFT, C(0), a.shift + MOST_LEFT)[:6],
            **carried(a),
        )
        c = pipe.stage(
            cut=[cut_distance(m, shift_with_half(value, b.amount, raised=MOST_LEFT)) for value in b.distance],
            **carried(b),
        )
        z = [rounded_distance(m, value) for value in c.cut]
        d = pipe.stage(z=z, **carried(c))
        e = pipe.stage(u=[octaves_of(value * OCTAVE_FACTOR) for value in d.z], **carried(d))
        last = self._log2_codes(m, pipe, e, carried) if log2 else self._linear_codes(m, pipe, e, carried)
        weights = last.code
        if log2:
            weights = [times_weight(C(1), code, last.guard) for code in last.code]
        weights = [Mux(alive, weight, 0) for alive, weight in zip(last.live, weights, strict=True)]
        f = pipe.stage(code=last.code, sum=add_tree(weights), last=last.last, first=last.first)
        total = Signal(32, reset_less=True)
        grown = (Mux(f.first, 0, total) + f.sum)[:32]
        with m.If(pipe.fires):
            m.d.sync += total.eq(grown)
        g = pipe.stage(code=f.code, last=f.last)
        pipe.finish(code=g.code, total=total, last=g.last)
        return m

    @staticmethod
    def _log2_codes(m: Module, pipe: Pipe, e: Any, carried: Any) -> Any:
        """Add the stage that rounds octaves to log2 codes."""
        codes = [
            Mux(alive, log2_code(m, value), LARGEST_LOG2_CODE)[:4]
            for value, alive in zip(e.u, e.live, strict=True)
        ]
        return pipe.stage(code=codes, **carried(e))

    @staticmethod
    def _linear_codes(m: Module, pipe: Pipe, e: Any, carried: Any) -> Any:
        """Add the stages of the linear codes: table, shift, rounding."""
        table = m.submodules.table = exp2_table()
        mantissa = []
        for value in e.u:
            port = table.read_port()
            m.d.comb += [port.addr.eq(table_index(value)), port.en.eq(pipe.advance)]
            mantissa.append(port.data)
        f = pipe.stage(whole=[whole_octaves(value) for value in e.u], **carried(e))
        g = pipe.stage(
            twice=[linear_twice(value, whole) for value, whole in zip(mantissa, f.whole, strict=True)],
            **carried(f),
        )
        codes = [
            Mux(alive, linear_code(m, value), 0)[:8] for value, alive in zip(g.twice, g.live, strict=True)
        ]
        return pipe.stage(code=codes, **carried(g))

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute :class:`p2vit.numerics.Softmax` row by row, and the sum of :meth:`AttentionValues.weights_of`."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        scores = i["s"].reshape(len(i["last"]), -1)
        ends = np.flatnonzero(i["last"]) + 1
        dead = 0 if self.form == "linear" else LARGEST_LOG2_CODE
        begins = np.concatenate([[0], ends[:-1]])
        codes, totals, lasts = [], [], []
        alive = np.arange(self.lanes) < i["live"][:, None]
        for begin, end in list(zip(begins, ends, strict=True))[1::2]:
            mask, row = alive[begin:end], scores[begin:end]
            reference = Softmax(i["shift"][begin : begin + 1], self.form)
            code = np.full(row.shape, dead, np.int64)
            code[mask] = reference.compute(row[mask][None, None, None])[0, 0, 0]
            guard = int(i["guard"][begin]) if self.form == "log2" else GUARDS[1]
            weight = AttentionValues(1, np.zeros(1, np.int8), self.form, guard).weights_of(code) * mask
            codes.append(code)
            totals.append(weight.sum(axis=1).cumsum())
            lasts.append(i["last"][begin:end])
        return {
            "o": {
                "code": np.concatenate(codes),
                "total": np.concatenate(totals),
                "last": np.concatenate(lasts),
            }
        }

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make rows of 1 to 40 scores of various spreads, with every shift and guard."""
        parts = []
        count = 0
        while count < beats:
            keys = int(rng.integers(1, 41))
            row = corners(rng, 32, (keys,)) >> int(rng.integers(0, 30))
            parts.append(
                self.row_beats(
                    row,
                    int(rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1)),
                    int(rng.integers(GUARDS[0], GUARDS[1] + 1)),
                )
            )
            count += len(parts[-1]["last"])
        return {"i": {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}}

    def row_beats(
        self, scores: NDArray[np.int64], shift: int, guard: int = GUARDS[1]
    ) -> dict[str, NDArray[np.int64]]:
        """Make the beats of both passes over one row.

        Args:
            scores: int32 [keys].
            shift: Shift of the head.
            guard: Guard of the following attention × V.
        """
        size = -(-len(scores) // self.lanes)
        padded = np.zeros(size * self.lanes, np.int64)
        padded[: len(scores)] = scores
        last = np.zeros(size, np.int64)
        last[-1] = 1
        live = np.full(size, self.lanes)
        live[-1] = len(scores) - (size - 1) * self.lanes
        beats = {
            "s": padded.reshape(size, self.lanes),
            "live": live,
            "shift": np.full(size, shift),
            "last": last,
        }
        if self.form == "log2":
            beats["guard"] = np.full(size, guard)
        return {name: np.concatenate([value, value]) for name, value in beats.items()}
