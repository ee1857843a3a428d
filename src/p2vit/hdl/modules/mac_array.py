"""Precision-scalable MAC array: one 8×8 product or two 8×4 products per multiplier and cycle."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.arithmetic import add_tree, wire
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
from p2vit.numerics.rounding import saturate


class MacLine(wiring.Component):
    """One line: row memory, ``lanes`` split multipliers, two adder trees and two accumulators.

    A weight byte is ``16·high + low``. For 8-bit weights, ``low`` is unsigned and a column is ``16·Σx·high + Σx·low``.
    For 4-bit weights (``narrow``), both halves are signed weights of two columns. Splitting costs one bit of the low
    multiplier, a second adder tree, and one adder per line.

    Each port belongs to the stage that uses it; the pipeline of the array registers the values. Latency: 4 cycles.
    Throughput: ``lanes`` terms per cycle. No handshake: the array drives the stages.
    """

    # Lines are also made only to read their names; Amaranth must not warn that they are never elaborated.
    _MustUse__silence = True

    def __init__(self, lanes_: int, depth: int, codes: bool) -> None:
        self.lanes, self.depth, self.codes = lanes_, depth, codes
        super().__init__(
            {
                **row_memory_ports(8 * lanes_, depth),
                "w": In(8 * lanes_),
                "narrow": In(1),
                "unsigned_rows": In(1),
                "narrow_sum": In(1),
                "accumulate": In(1),
                "first": In(1),
                "bias": In(64),
                "acc": Out(64),
            }
        )

    def port_comments(self) -> dict[str, str]:
        """Return the comment of every port, by its name in Verilog."""
        return {
            **LINE_COMMENTS,
            "w": "Weights of the beat, one byte per lane.",
            "narrow": "Each weight byte holds the 4-bit weights of two columns.",
            "unsigned_rows": "The terms of the row are unsigned codes.",
            "narrow_sum": "As narrow, two stages later.",
            "bias": "Bias of the column, or of two columns.",
            "acc": "Accumulators of the column, or of two columns, of 32 bits each.",
        }

    def elaborate(self, platform: Any) -> Module:
        """Build the stages: read | multiply | add | accumulate."""
        m = Module()
        word = row_memory(m, self, 8 * self.lanes, self.depth)
        low, high = [], []
        for k in range(self.lanes):
            x, w = word.word_select(k, 8), self.w.word_select(k, 8)
            operand: Value = Cat(x, x[7] & ~self.unsigned_rows).as_signed() if self.codes else x.as_signed()
            low.append(operand * Cat(w[:4], w[3] & self.narrow).as_signed())
            high.append(operand * w[4:].as_signed())
        products = [registered("low", low), registered("high", high)]
        sums = [wire(m, add_tree(product), "sum") for product in products]
        columns = [Mux(self.narrow_sum, sums[0], sums[0] + (sums[1] << 4)).as_signed(), sums[1]]
        total = [registered(f"total_{column}", value) for column, value in enumerate(columns)]
        acc = [Signal(signed(32), name=f"accumulator_{column}", reset_less=True) for column in range(2)]
        with m.If(self.advance):
            m.d.sync += [*assign(products, [low, high]), *assign(total, columns)]
        with m.If(self.accumulate):
            for column in range(2):
                base = Mux(self.first, self.bias.word_select(column, 32), acc[column])
                m.d.sync += acc[column].eq(base + total[column])
        m.d.comb += self.acc.eq(Cat(*acc))
        return m


class MacArray(StationaryArray):
    """``acc[line] = bias + Σ_k row[line, k] · weight[column, k]``, int32, for one column or two 4-bit columns.

    Streams:
        rows: ``data`` [lanes] 8 bits, ``line``, ``step``; ``last`` ends a row group and releases it to the array.
        weights: ``w`` [lanes] 8 bits, or with ``narrow`` two 4-bit weights each (column 0 in the lower half);
            ``bias`` [2] int32, read at a column's first beat; ``unsigned_rows`` (if built for codes);
            ``last`` ends a column, ``done`` with it the row group.
        o: ``acc`` int32 [2·lines], column 0 then column 1; ``narrow``: column 1 is valid; ``done``.

    Latency: 4 cycles from the last beat of a column (read | multiply | add | accumulate). Throughput: one beat per
    cycle, without gaps between columns and row groups. Handshake: ready/valid streams. Sums wrap beyond int32;
    ``audit`` proves that this never occurs.
    """

    about: ClassVar[str] = "precision-scalable MAC array"

    def __init__(self, lines: int = 4, lanes_: int = 8, *, depth: int = 4, codes: bool = True) -> None:
        """Make the array.

        Args:
            lines: Rows in parallel.
            lanes_: Terms per line and cycle.
            depth: Words of a row that a line holds: ⌈largest K / lanes⌉.
            codes: Whether rows may be unsigned softmax codes, which takes one more bit in every multiplier.
        """
        self.lines, self.lanes, self.depth, self.codes = lines, lanes_, depth, codes
        self.timing = ModuleTiming(
            4, note="after a column's last beat; ⌈K / lanes⌉ beats per column, or per two narrow ones"
        )
        extra = {"unsigned_rows": 1} if codes else {}
        super().__init__(
            {
                "rows": sink(
                    data=lanes(unsigned(8), lanes_),
                    line=address_shape(lines),
                    step=address_shape(depth),
                    last=1,
                ),
                "weights": sink(
                    w=lanes(unsigned(8), lanes_), bias=lanes(signed(32), 2), narrow=1, **extra, last=1, done=1
                ),
                "o": source(acc=lanes(signed(32), 2 * lines), narrow=1, done=1),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"n": self.lines, "l": self.lanes, "d": self.depth, "c": int(self.codes)}

    @property
    def line_name(self) -> str:
        """Name of the Verilog module of a line."""
        return f"macline_l{self.lanes}_d{self.depth}_c{int(self.codes)}"

    def separate_modules(self) -> dict[str, Any]:
        """Return the line, which is written once and instantiated for every row."""
        return {self.line_name: MacLine(self.lanes, self.depth, self.codes)}

    def elaborate(self, platform: Any) -> Module:
        """Build the control and instantiate the lines."""
        m = Module()
        beat = self.weights.payload
        banks = Banks(m, self.rows, self.weights, self.o, self.depth)
        pipe = banks.pipe
        flags = {"unsigned_rows": beat.unsigned_rows} if self.codes else {"unsigned_rows": Value.cast(0)[:1]}
        a = pipe.stage(
            w=beat.w,
            bias=beat.bias,
            narrow=beat.narrow,
            first=banks.first,
            last=beat.last,
            done=beat.done,
            **flags,
        )
        b = pipe.stage(bias=a.bias, narrow=a.narrow, first=a.first, last=a.last, done=a.done)
        c = pipe.stage(bias=b.bias, narrow=b.narrow, first=b.first, last=b.last, done=b.done)
        shared = {
            "w": a.w,
            "narrow": a.narrow,
            "unsigned_rows": a.unsigned_rows,
            "narrow_sum": b.narrow,
            "accumulate": pipe.fires,
            "first": c.first,
            "bias": c.bias,
        }
        data = Value.cast(self.rows.payload.data)
        accumulators = self.line_instances(m, self.line_name, banks, data, shared)
        d = pipe.stage(keep=c.last, narrow=c.narrow, done=c.done)
        acc = [value.word_select(column, 32).as_signed() for column in range(2) for value in accumulators]
        pipe.finish(acc=acc, narrow=d.narrow, done=d.done)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute the columns of :func:`p2vit.numerics.linear.integer_matmul` plus the bias."""
        weights = inputs["weights"]
        acc, narrow, done = [], [], []
        for held, beats, begins in self.groups(inputs):
            w = np.asarray(weights["w"][beats]).reshape(-1, self.lanes)
            split = np.asarray(weights["narrow"][beats])[:, None] != 0
            free = np.asarray(weights["unsigned_rows"][beats])[:, None] != 0 if self.codes else np.False_
            x = np.where(free, held, held.astype(np.int8).astype(np.int64))
            wide = w.astype(np.int8).astype(np.int64)
            halves = (((w & 15) ^ 8) - 8, wide >> 4)
            ends = np.append(begins[1:], len(w)) - 1
            columns = []
            for column, operand in enumerate((np.where(split, halves[0], wide), halves[1])):
                terms = integer_matmul(x.transpose(1, 0, 2), operand[:, :, None])[..., 0]
                bias = np.asarray(weights["bias"][beats]).reshape(-1, 2)[begins, column]
                sums = np.add.reduceat(terms.astype(np.int64), begins, axis=0) + bias[:, None]
                columns.append(sums.astype(np.int32))
            acc.append(np.concatenate(columns, axis=1))
            narrow.append(split[ends, 0])
            done.append(np.asarray(weights["done"][beats])[ends])
        return {
            "o": {
                "acc": np.concatenate(acc).astype(np.int64),
                "narrow": np.concatenate(narrow).astype(np.int64),
                "done": np.concatenate(done),
            }
        }

    def specified(self, stream: str, field: str, outputs: Streams) -> np.ndarray[Any, Any] | None:
        """Return a mask in which column 1 is specified only for narrow beats."""
        if field != "acc":
            return None
        first = np.ones((len(outputs[stream]["narrow"]), self.lines), bool)
        return np.concatenate(
            [first, np.broadcast_to(outputs[stream]["narrow"][:, None] != 0, first.shape)], axis=1
        )

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make row groups of 1 to ``depth`` steps, with a mix of 8-bit and 4-bit columns."""
        rows: list[Any] = []
        weights: list[Any] = []
        while sum(len(part["last"]) for part in weights) < beats:
            steps, columns = int(rng.integers(1, self.depth, endpoint=True)), int(rng.integers(1, 40))
            count = steps * columns
            rows.append(self.row_sample(corners(rng, 8, (self.lines, steps, self.lanes), signed=False)))
            part = {
                "w": corners(rng, 8, (count, self.lanes), signed=False),
                "bias": corners(rng, 28, (count, 2)),
                "narrow": np.repeat(rng.integers(0, 2, columns), steps),
                **column_marks(columns, steps),
            }
            if self.codes:
                part["unsigned_rows"] = np.full(count, rng.integers(0, 2))
            weights.append(part)
        return {"rows": joined(rows), "weights": joined(weights)}


def pack_weights(weight: Any, bits: int, lanes_: int) -> Any:
    """Pack the weights of a linear layer for the array.

    Args:
        weight: int8 [N, K].
        bits: Width of the weights; with at most 4 bits, two columns share a byte.
        lanes_: Lanes of the array.

    Returns:
        uint8 [columns, ⌈K / lanes⌉, lanes], for N columns or ⌈N / 2⌉ pairs of columns, padded with zeros.
    """
    wide = np.asarray(saturate(weight, 8))
    columns, terms = wide.shape
    padded = np.zeros((columns + columns % 2 * (bits <= 4), -(-terms // lanes_) * lanes_), np.int64)
    padded[:columns, :terms] = wide
    if bits <= 4:
        padded = (padded[0::2] & 15) | (padded[1::2] & 15) << 4
    return (padded & 255).reshape(len(padded), -1, lanes_)
