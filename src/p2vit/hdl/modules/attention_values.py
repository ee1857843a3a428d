"""Shifter array: attention codes × values by shift and add, without multipliers."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.arithmetic import add_tree
from p2vit.hdl.modules.array import (
    LINE_COMMENTS,
    Banks,
    StationaryArray,
    address_shape,
    column_marks,
    joined,
    row_memory,
    row_memory_ports,
)
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.stream import assign, lanes, registered, sink, source
from p2vit.numerics.linear import integer_matmul

#: Bits of a stored code: shift distance 0 to 15, and a bit that is 0 for a weight of 0.
STORED_BITS = 5


class ShifterLine(wiring.Component):
    """One line: row memory of shift distances, ``lanes`` shifters, adder tree and accumulator.

    Latency: 4 cycles. Throughput: ``lanes`` terms per cycle. No handshake: the array drives the stages.
    """

    # Lines are also made only to read their names; Amaranth must not warn that they are never elaborated.
    _MustUse__silence = True

    def __init__(self, lanes_: int, depth: int) -> None:
        self.lanes, self.depth = lanes_, depth
        super().__init__(
            {
                **row_memory_ports(STORED_BITS * lanes_, depth),
                "v": In(8 * lanes_),
                "accumulate": In(1),
                "first": In(1),
                "acc": Out(32),
            }
        )

    def port_comments(self) -> dict[str, str]:
        """Return the comment of every port, by its name in Verilog."""
        return {
            **LINE_COMMENTS,
            "v": "Values of the beat, int8 per lane.",
        }

    def elaborate(self, platform: Any) -> Module:
        """Build the stages: read | shift | add | accumulate."""
        m = Module()
        word = row_memory(m, self, STORED_BITS * self.lanes, self.depth)
        terms: list[Value] = []
        for k in range(self.lanes):
            code, v = word.word_select(k, STORED_BITS), self.v.word_select(k, 8).as_signed()
            terms.append(Mux(code[4], v << code[:4], C(0, signed(23))))
        shifted = registered("shifted", terms)
        column = add_tree(shifted)
        total = registered("total", column)
        acc = Signal(signed(32), reset_less=True)
        with m.If(self.advance):
            m.d.sync += [*assign(shifted, terms), total.eq(column)]
        with m.If(self.accumulate):
            m.d.sync += acc.eq(Mux(self.first, 0, acc) + total)
        m.d.comb += self.acc.eq(acc)
        return m


class ShifterArray(StationaryArray):
    """``acc[line] = Σ_m v[m] · 2^(guard − code[line, m])``, int32; a code above ``guard`` has weight 0.

    Streams:
        rows: ``data`` [lanes] log2 codes of 4 bits, ``guard`` 8 to 15, ``line``, ``step``; ``last`` ends a row group.
        values: ``v`` int8 [lanes], a column of V; ``last`` ends the column, ``done`` with it the row group.
        o: ``acc`` int32 [lines]; ``done``.

    Latency: 4 cycles from the last beat of a column (read | shift | add | accumulate). Throughput: one beat per cycle.
    Handshake: ready/valid streams. The sender must pad missing keys with values of 0.
    """

    about: ClassVar[str] = "attention × V on log2 codes: shift and add"
    streamed = "values"

    def __init__(self, lines: int = 4, lanes_: int = 8, *, depth: int = 4) -> None:
        """Make the array.

        Args:
            lines: Rows in parallel.
            lanes_: Keys per line and cycle.
            depth: Words of a row that a line holds: ⌈keys / lanes⌉.
        """
        self.lines, self.lanes, self.depth = lines, lanes_, depth
        self.timing = ModuleTiming(4, note="after a column's last beat; ⌈keys / lanes⌉ beats per column")
        super().__init__(
            {
                "rows": sink(
                    data=lanes(unsigned(4), lanes_),
                    guard=4,
                    line=address_shape(lines),
                    step=address_shape(depth),
                    last=1,
                ),
                "values": sink(v=lanes(signed(8), lanes_), last=1, done=1),
                "o": source(acc=lanes(signed(32), lines), done=1),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"n": self.lines, "l": self.lanes, "d": self.depth}

    @property
    def line_name(self) -> str:
        """Name of the Verilog module of a line."""
        return f"shifterline_l{self.lanes}_d{self.depth}"

    def separate_modules(self) -> dict[str, Any]:
        """Return the line, which is written once and instantiated for every row."""
        return {self.line_name: ShifterLine(self.lanes, self.depth)}

    def elaborate(self, platform: Any) -> Module:
        """Build the control and instantiate the lines."""
        m = Module()
        row, beat = self.rows.payload, self.values.payload
        banks = Banks(m, self.rows, self.values, self.o, self.depth)
        pipe = banks.pipe
        # Shift distances are computed once, when a row is loaded, for all columns.
        data = Cat(*[Cat((row.guard - row.data[k])[:4], row.data[k] <= row.guard) for k in range(self.lanes)])
        a = pipe.stage(v=beat.v, first=banks.first, last=beat.last, done=beat.done)
        b = pipe.stage(first=a.first, last=a.last, done=a.done)
        c = pipe.stage(first=b.first, last=b.last, done=b.done)
        shared = {"v": a.v, "accumulate": pipe.fires, "first": c.first}
        accumulators = self.line_instances(m, self.line_name, banks, data, shared)
        d = pipe.stage(keep=c.last, done=c.done)
        pipe.finish(acc=[value.as_signed() for value in accumulators], done=d.done)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute step 1 of :class:`p2vit.numerics.AttentionValues`."""
        from p2vit.numerics import AttentionValues

        rows, values = inputs["rows"], inputs["values"]
        ends = np.flatnonzero(rows["last"])
        acc, done = [], []
        for (held, beats, begins), end in zip(self.groups(inputs), ends, strict=False):
            v = np.asarray(values["v"][beats]).reshape(-1, self.lanes)
            reference = AttentionValues(1, np.zeros(1, np.int8), "log2", int(rows["guard"][end]))
            terms = integer_matmul(reference.weights_of(held).transpose(1, 0, 2), v[:, :, None])[..., 0]
            acc.append(np.add.reduceat(terms.astype(np.int64), begins, axis=0).astype(np.int32))
            done.append(np.asarray(values["done"][beats])[np.append(begins[1:], len(v)) - 1])
        return {"o": {"acc": np.concatenate(acc).astype(np.int64), "done": np.concatenate(done)}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make row groups of 1 to ``depth`` steps, with every guard."""
        rows: list[Any] = []
        values: list[Any] = []
        while sum(len(part["last"]) for part in values) < beats:
            steps, columns = int(rng.integers(1, self.depth, endpoint=True)), int(rng.integers(1, 40))
            part = self.row_sample(corners(rng, 4, (self.lines, steps, self.lanes), signed=False))
            part["guard"] = np.full(len(part["last"]), rng.integers(8, 16))
            rows.append(part)
            values.append(
                {"v": corners(rng, 8, (steps * columns, self.lanes)), **column_marks(columns, steps)}
            )
        return {"rows": joined(rows), "values": joined(values)}
