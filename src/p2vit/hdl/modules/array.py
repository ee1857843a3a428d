"""Common parts of the MAC array and the shifter array: stationary rows in two banks, and a broadcast operand.

A line holds one row (the activations of a token, or the codes of a query) in its own memory. While the lines use one
bank, the other is filled. A column of the streamed operand takes one beat per ``lanes`` terms and is broadcast to all
lines. So there is no skew, and a column takes ⌈K / lanes⌉ cycles for any number of lines.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from amaranth.hdl import Array, ClockSignal, Instance, Module, ResetSignal, Signal, Value, unsigned
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from p2vit.hdl.modules.base import Fields, OperatorModule
from p2vit.hdl.stream import Pipe


def address_shape(count: int) -> Any:
    """Return the shape of an index below ``count``, with at least one bit, so that the port exists."""
    return unsigned(max(1, (count - 1).bit_length()))


def row_memory_ports(word_bits: int, depth: int) -> dict[str, Any]:
    """Return the ports of a line's row memory."""
    return {
        "advance": In(1),
        "write": In(1),
        "write_address": In(address_shape(2 * depth)),
        "write_data": In(word_bits),
        "read_address": In(address_shape(2 * depth)),
    }


#: Comments of the ports of a line, of either array.
LINE_COMMENTS = {
    "advance": "The pipeline advances.",
    "write": "A word of the row is written.",
    "write_address": "Address of the word that is written; the upper half is the second bank.",
    "write_data": "Word that is written, one term per lane.",
    "read_address": "Address of the word that is read.",
    "accumulate": "The sum of a beat reaches the accumulator.",
    "first": "The sum begins a column.",
    "acc": "Accumulator of the column.",
}


def row_memory(m: Module, line: Any, word_bits: int, depth: int) -> Value:
    """Add the row memory of a line. Latency: one cycle from the read address to the word that is returned."""
    store = m.submodules.rows = memory.Memory(shape=unsigned(word_bits), depth=2 * depth, init=[])
    write, read = store.write_port(), store.read_port()
    m.d.comb += [
        write.addr.eq(line.write_address),
        write.data.eq(line.write_data),
        write.en.eq(line.write),
        read.addr.eq(line.read_address),
        read.en.eq(line.advance),
    ]
    return read.data


class Banks:
    """Control of the two row banks, and the pipeline that waits for a full bank.

    Attributes:
        pipe: Pipeline that takes beats of the streamed operand while a bank is full.
        read_address: Read address of the row memories for the beat before the first stage.
        first: High if that beat is the first of its column.
    """

    def __init__(self, m: Module, rows: Any, streamed: Any, o: Any, depth: int) -> None:
        full = [Signal(name=f"full_{bank}") for bank in range(2)]
        filling, working = Signal(), Signal()
        step = Signal(address_shape(depth))
        self.pipe = Pipe(m, streamed, o, gate=Array(full)[working])
        self.first = Signal(name="column_first")
        self.read_address = Signal(address_shape(2 * depth))
        self.write_address = Signal(address_shape(2 * depth))
        self.write = Signal(name="row_write")
        m.d.comb += [
            rows.ready.eq(~Array(full)[filling]),
            self.write.eq(rows.valid & rows.ready),
            self.write_address.eq(filling * depth + rows.payload.step),
            self.read_address.eq(working * depth + step),
        ]
        begin = Signal(init=1)
        m.d.comb += self.first.eq(begin)
        beat = streamed.payload
        with m.If(self.pipe.fires):
            m.d.sync += [step.eq(step + 1), begin.eq(beat.last)]
            with m.If(beat.last):
                m.d.sync += step.eq(0)
                with m.If(beat.done):
                    m.d.sync += [Array(full)[working].eq(0), working.eq(~working)]
        with m.If(self.write & rows.payload.last):
            m.d.sync += [Array(full)[filling].eq(1), filling.eq(~filling)]


class StationaryArray(OperatorModule):
    """Base class of the two arrays.

    Attributes:
        lines: Number of stationary rows.
        lanes: Terms per line and cycle.
        depth: Words of ``lanes`` terms in each bank of a row memory.
    """

    lines: int
    lanes: int
    depth: int

    def line_instances(
        self, m: Module, name: str, banks: Banks, data: Any, shared: Mapping[str, Any]
    ) -> list[Any]:
        """Instantiate the lines and return their accumulators.

        Args:
            m: Module of the array.
            name: Name of the Verilog module of a line (see ``separate_modules``).
            banks: Row banks of the array.
            data: Word that is written into the memory of the addressed line.
            shared: Further input ports, with the same value for all lines.
        """
        accumulators = []
        for index in range(self.lines):
            accumulator = Signal(64 if "bias" in shared else 32, name=f"acc_{index}")
            common = {
                "advance": banks.pipe.advance,
                "write": banks.write & (self.rows.payload.line == index),
                "write_address": banks.write_address,
                "write_data": data,
                "read_address": banks.read_address,
                **shared,
            }
            ports: dict[str, Any] = {f"i_{key}": value for key, value in common.items()}
            m.submodules[f"line_{index}"] = Instance(
                name, i_clk=ClockSignal(), i_rst=ResetSignal(), o_acc=accumulator, **ports
            )
            accumulators.append(accumulator)
        return accumulators

    def groups(
        self, inputs: Mapping[str, Fields]
    ) -> Iterator[tuple[NDArray[np.int64], slice, NDArray[np.intp]]]:
        """Split input beats into row groups, for golden models.

        Yields:
            Row data aligned with the beats [lines, beats, lanes], the group's slice of the streamed beats, and the
            first beat of each column.
        """
        rows, streamed = inputs["rows"], inputs[self.streamed]
        ends = np.flatnonzero(rows["last"]) + 1
        done = np.flatnonzero(streamed["done"]) + 1
        row_start = beat_start = 0
        for row_end, beat_end in zip(ends, done, strict=False):
            held = np.zeros((self.lines, self.depth, self.lanes), np.int64)
            part = slice(row_start, row_end)
            held[rows["line"][part], rows["step"][part]] = np.asarray(rows["data"][part]).reshape(
                -1, self.lanes
            )
            beats = slice(beat_start, beat_end)
            last = np.asarray(streamed["last"][beats])
            begins = np.flatnonzero(np.concatenate([[1], last[:-1]]))
            index = np.arange(len(last))
            steps = index - np.maximum.accumulate(np.where(np.isin(index, begins), index, 0))
            yield held[:, steps], beats, begins
            row_start, beat_start = int(row_end), int(beat_end)

    def repeated_modules(self) -> dict[str, Any]:
        """Return those of the separate modules that are instantiated many times: the line."""
        return self.separate_modules()

    @abstractmethod
    def separate_modules(self) -> dict[str, Any]:
        """Return the line, which is written once and instantiated for every row."""

    #: Name of the stream with the broadcast operand.
    streamed = "weights"

    def row_sample(self, data: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Make the beats that load a row group.

        Args:
            data: [lines, steps, ...].
        """
        lines, steps = data.shape[:2]
        last = np.zeros(lines * steps, np.int64)
        last[-1] = 1
        return {
            "data": data.reshape(lines * steps, *data.shape[2:]),
            "line": np.repeat(np.arange(lines), steps),
            "step": np.tile(np.arange(steps), lines),
            "last": last,
        }


def column_marks(columns: int, steps: int) -> dict[str, NDArray[np.int64]]:
    """Make ``last`` and ``done`` for a group of columns of ``steps`` beats each."""
    last = np.zeros(columns * steps, np.int64)
    last[steps - 1 :: steps] = 1
    done = np.zeros(columns * steps, np.int64)
    done[-1] = 1
    return {"last": last, "done": done}


def joined(parts: list[dict[str, NDArray[np.int64]]]) -> dict[str, NDArray[np.int64]]:
    """Concatenate beats."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


__all__ = ["Banks", "In", "Out", "StationaryArray", "address_shape", "column_marks", "joined", "row_memory"]
