"""LayerNorm chunk: three passes over a row in three pipelines, so that a row of G words leaves every G cycles."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.arithmetic import (
    add_tree,
    larger,
    largest,
    round_last_bit,
    shift_round,
    smaller,
    smallest,
    wire,
)
from p2vit.hdl.chunks.machine import NORM_ROWS, PARAMETER_WORDS, ROOT_ENTRIES, ChunkMachine
from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Kind
from p2vit.hdl.datapath.layernorm import (
    TOTAL_BITS,
    centred_twice,
    common_shift,
    epsilon_twice,
    positive_total,
    root_exponent,
    root_index,
)
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.top.component import delay_line
from p2vit.hdl.top.primitives import RamPorts, ram
from p2vit.numerics.layernorm import CENTRED_BITS, ENTRY_BITS, EPSILON_BITS, TABLE_FIRST

#: Fields of the descriptor that are registered for the duration of an operation.
FIELDS = (
    *("rows", "words", "tail", "channels", "base", "stride", "dest_base", "dest_stride", "limit", "epsilon"),
    *("epsilon_shift", "squares_shift", "wide", "affine"),
)
#: Parameters of a channel: name → width, first bit.
PARAMETERS = {
    "bias": (32, 0), "gain": (16, 32), "gain_shift": (6, 48), "left": (4, 54), "shift": (5, 58),
}  # fmt: skip
#: Width of a centred value: 17 bits times the number of channels.
_WIDE = 33


class Pass:
    """Walk of one pass over the words of the rows, one word per cycle and row after row.

    Attributes:
        issue: High in cycles in which a word is issued.
        word: Number of the word.
        slot: Slot of the row.
        first: High with the first word of a row.
        last: High with the last word of a row.
    """

    def __init__(self, m: Module, name: str, words: Value, ready: Value) -> None:
        self.issue, self.first, self.last = (
            Signal(name=f"{name}_{what}") for what in ("issue", "first", "last")
        )
        self.word, self.slot = Signal(12, name=f"{name}_word"), Signal(range(NORM_ROWS), name=f"{name}_slot")
        m.d.comb += [
            self.first.eq(self.word == 0),
            self.issue.eq(~self.first | ready),
            self.last.eq(self.issue & (self.word == words - 1)),
        ]
        with m.If(self.issue):
            m.d.sync += self.word.eq(self.word + 1)
        with m.If(self.last):
            m.d.sync += [self.word.eq(0), self.slot.eq(self.slot + 1)]

    @property
    def starts(self) -> Value:
        """High in cycles in which the first word of a row is issued."""
        return self.issue & self.first

    def delayed(self, m: Module, name: str, cycles: int) -> tuple[list[Value], ...]:
        """Return valid, first, last, word and slot, each delayed by 0 to ``cycles`` cycles."""
        return tuple(
            delay_line(m, value, cycles, f"{name}_{key}")
            for key, value in (
                *(("valid", self.issue), ("began", self.first), ("ended", self.last)),
                *(("at", self.word), ("row", self.slot)),
            )
        )


def pending(m: Module, name: str, gives: Value, takes: Value) -> Signal:
    """Add a counter of rows that wait for a pass."""
    count = Signal(range(NORM_ROWS + 1), name=name)
    m.d.sync += count.eq(count + gives - takes)
    return count


class NormChunk(wiring.Component):
    """Normalises rows of the residual stream into the memory of normalised rows.

    Pass 1 adds up the row and finds its extremes; pass 2 centres, scales, and adds up the squares; pass 3 multiplies
    by the reciprocal root, re-quantizes, and applies gain and bias if a layer asks for them. Latency of a row of G
    words: 3·G + ``STATISTICS_LATENCY`` + ``SQUARES_LATENCY`` + ``NORM_LATENCY`` − 2 cycles. Throughput: one word per
    cycle. Handshake: an operation waits for its parameters, and a row until all its words are written.
    """

    def __init__(self, machine: ChunkMachine) -> None:
        self.machine = machine
        lines = machine.lines
        super().__init__(
            {
                "queue_valid": In(1),
                "queue_ready": Out(1),
                "queue_word": In(DESCRIPTOR_BITS),
                "written": In(24),
                "load_parameters": In(1),
                "load_root": In(1),
                "load_row": In(16),
                "load_word": In(8 * lines),
                "load_ends": In(1),
                "slot_free": Out(1),
                "address": Out(16),
                "numbers": In(16 * lines),
                "write": Out(1),
                "write_address": Out(16),
                "write_data": Out(8 * lines),
                "normalised": Out(16 * lines),
                "rows_done": Out(24),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the three passes and the scalars between them."""
        m = Module()
        machine, lines = self.machine, self.machine.lines
        take = decoder(self.queue_word, Kind.NORM)
        op = {name: Signal(len(take(name)), name=f"op_{name}") for name in FIELDS}
        active, begun, counted = Signal(), Signal(13), Signal(13)
        slots_full, slots_free = Signal(2), Signal(2, init=2)
        starting, finished = Signal(), Signal()
        load_slot, slot = Signal(), Signal()
        m.d.comb += [
            starting.eq(self.queue_valid & ~active & (slots_full != 0)),
            self.queue_ready.eq(starting),
            finished.eq(active & (counted == op["rows"])),
            self.slot_free.eq(slots_free != 0),
        ]
        row_address, at_row, need = Signal(16), Signal(16), Signal(24)
        m.d.sync += [
            slots_full.eq(slots_full + self.load_ends - starting),
            slots_free.eq(slots_free + finished - self.load_ends),
            load_slot.eq(load_slot ^ self.load_ends),
            slot.eq(slot ^ finished),
        ]
        with m.If(starting):
            m.d.sync += [signal.eq(take(name)) for name, signal in op.items()]
            m.d.sync += [active.eq(1), begun.eq(0), counted.eq(0)]
            m.d.sync += [row_address.eq(take("base")), at_row.eq(take("base")), need.eq(take("wait_base"))]
        with m.If(finished):
            m.d.sync += active.eq(0)

        # --- parameters of the channels, by byte planes; pass 1 has a copy of the two planes that it reads
        rows = machine.row_words
        load_row = self.load_row[3:] + Mux(load_slot, rows, 0)

        def planes(name: str, which: range, read: Value) -> list[Value]:
            return [
                ram(
                    m, f"{name}_{plane}", 8 * lines, 2 * rows,
                    RamPorts(
                        self.load_parameters & (self.load_row[:3] == plane), load_row, self.load_word,
                        1, read + Mux(slot, rows, 0),
                    ),
                )
                for plane in which
            ]  # fmt: skip

        def of_line(words: list[Value], line: int, name: str, first: int = 0) -> Value:
            width, at = PARAMETERS[name]
            whole = Cat(word.word_select(line, 8) for word in words)
            return whole[at - 8 * first : at - 8 * first + width]

        # --- pass 1: align, sum, least and most
        flying, there = Signal(range(NORM_ROWS + 1)), Signal()
        m.d.comb += there.eq(self.written >= need)
        a = Pass(m, "a", op["words"], active & (begun != op["rows"]) & (flying != NORM_ROWS) & there)
        with m.If(a.issue):
            m.d.sync += at_row.eq(at_row + op["stride"])
        with m.If(a.last):
            m.d.sync += [at_row.eq(row_address + 1), row_address.eq(row_address + 1), begun.eq(begun + 1)]
            m.d.sync += need.eq(need + 1)
        m.d.comb += self.address.eq(at_row)
        early = planes("early", range(6, PARAMETER_WORDS), a.word)
        a_valid, a_first, a_last, a_word, a_slot = a.delayed(m, "a", 5)
        limit = wire(m, Cat(op["limit"], 0).as_signed(), "high")
        aligned = [Signal(signed(16), name=f"aligned_{line}", reset_less=True) for line in range(lines)]
        for line, value in enumerate(aligned):
            shifted = wire(
                m,
                self.numbers.word_select(line, 16).as_signed() << of_line(early, line, "left", 6),
                "shifted",
            )
            m.d.sync += value.eq(Mux(shifted > limit, limit, Mux(shifted < ~limit, ~limit, shifted)))
        live = [wire(m, ~a_last[2] | (op["tail"] > line), f"live_{line}") for line in range(lines)]
        word_sum, word_least, word_most = (
            Signal(signed(32), name=f"word_{key}") for key in ("sum", "least", "most")
        )
        # Lanes beyond the last channel count as 0 in the sum, and as lane 0 in the extremes.
        counted_lanes = [Mux(on, value, 0).as_signed() for on, value in zip(live, aligned, strict=True)]
        compared = [Mux(on, value, aligned[0]).as_signed() for on, value in zip(live, aligned, strict=True)]
        m.d.sync += [
            word_sum.eq(add_tree(counted_lanes)),
            word_least.eq(smallest(m, compared)),
            word_most.eq(largest(m, compared)),
        ]
        total, least, most = (Signal(signed(32), name=f"row_{key}") for key in ("sum", "least", "most"))
        with m.If(a_valid[3]):
            m.d.sync += [
                total.eq(Mux(a_first[3], 0, total) + word_sum),
                least.eq(Mux(a_first[3], word_least, smaller(m, least, word_least))),
                most.eq(Mux(a_first[3], word_most, larger(m, most, word_most))),
            ]
        totals = Array(Signal(signed(32), name=f"total_{row}") for row in range(NORM_ROWS))
        shifts = Array(Signal(signed(6), name=f"common_{row}") for row in range(NORM_ROWS))
        far = Signal(signed(_WIDE))
        channels = op["channels"]
        m.d.sync += far.eq(
            larger(
                m,
                (most * channels - total)[:_WIDE].as_signed(),
                (total - least * channels)[:_WIDE].as_signed(),
            )
        )
        with m.If(a_last[4]):
            m.d.sync += totals[a_slot[4]].eq(total)
        with m.If(a_last[5]):
            m.d.sync += shifts[a_slot[5]].eq(common_shift(m, far, op["epsilon_shift"].as_signed()))

        # --- pass 2: centre, scale, squares
        b_starts = Signal()
        b = Pass(m, "b", op["words"], pending(m, "waits_for_squares", a_last[3], b_starts) != 0)
        m.d.comb += b_starts.eq(b.starts)
        row_buffer = self.row_buffer(m, "aligned_rows", a_valid[2], a_slot[2], a_word[2], Cat(*aligned), b)
        b_valid, b_first, b_last, b_word, b_slot = b.delayed(m, "b", 11)
        scaled, reduced, squares = [], [], []
        amount = wire(m, (shifts[b_slot[2]] + CENTRED_BITS)[:6], "amount")
        row_total = wire(m, totals[b_slot[1]], "row_total")
        for line in range(lines):
            centred, twice, d = (
                Signal(signed(width), name=f"{name}_{line}", reset_less=True)
                for name, width in (
                    ("centred", _WIDE + 1),
                    ("twice", CENTRED_BITS + 3),
                    ("d", CENTRED_BITS + 2),
                )
            )
            small = wire(m, shift_round(d, op["squares_shift"])[: CENTRED_BITS + 2].as_signed(), "small")
            square = Signal(2 * CENTRED_BITS + 1, name=f"square_{line}", reset_less=True)
            on = ~b_last[4] | (op["tail"] > line)
            m.d.sync += [
                centred.eq(row_buffer.word_select(line, 16).as_signed() * channels - row_total),
                twice.eq(centred_twice(centred, amount)[: CENTRED_BITS + 3].as_signed()),
                d.eq(round_last_bit(twice)[: CENTRED_BITS + 2].as_signed()),
                square.eq(Mux(on, (small * small)[: 2 * CENTRED_BITS + 1], 0)),
            ]
            scaled.append(d)
            reduced.append(small)
            squares.append(square)
        word_squares, row_squares = Signal(TOTAL_BITS), Signal(TOTAL_BITS)
        epsilon = Signal(EPSILON_BITS + 1)
        spread, exponent = Signal(TOTAL_BITS), Signal(signed(5))
        m.d.sync += [
            word_squares.eq(add_tree(squares)),
            epsilon.eq(
                round_last_bit(
                    epsilon_twice(op["epsilon"], shifts[b_slot[6]], op["epsilon_shift"].as_signed())
                )
            ),
            spread.eq(positive_total(m, row_squares, epsilon)),
            exponent.eq(root_exponent(m, spread)),
        ]
        with m.If(b_valid[6]):
            m.d.sync += row_squares.eq(Mux(b_first[6], 0, row_squares) + word_squares)
        late_spread = Signal(TOTAL_BITS)
        m.d.sync += late_spread.eq(spread)
        root = ram(
            m, "roots", ENTRY_BITS, ROOT_ENTRIES,
            RamPorts(
                self.load_root, self.load_row, self.load_word[:ENTRY_BITS],
                1, root_index(late_spread, exponent) - TABLE_FIRST,
            ),
        )  # fmt: skip
        late_exponent = Signal(signed(5))
        m.d.sync += late_exponent.eq(exponent)
        factors = Array(Signal(ENTRY_BITS, name=f"factor_{row}") for row in range(NORM_ROWS))
        exponents = Array(Signal(signed(5), name=f"exponent_{row}") for row in range(NORM_ROWS))
        with m.If(b_last[10]):
            m.d.sync += [factors[b_slot[10]].eq(root), exponents[b_slot[10]].eq(late_exponent)]

        # --- pass 3: product, shift, gain and bias
        c_starts = Signal()
        c = Pass(m, "c", op["words"], pending(m, "waits_for_output", b_last[9], c_starts) != 0)
        m.d.comb += c_starts.eq(c.starts)
        d_buffer = self.row_buffer(m, "scaled_rows", b_valid[4], b_slot[4], b_word[4], Cat(*scaled), c)
        m.d.sync += flying.eq(flying + a.starts - c.last)
        late = planes("late", range(PARAMETER_WORDS), c.word)
        c_valid, _, c_last, _, c_slot = c.delayed(m, "c", 6)
        step, gain_step = ShiftStage(16, 0, 31), ShiftStage(8, -8, 31)
        factor, shift_more = wire(m, factors[c_slot[1]], "factor"), wire(m, exponents[c_slot[1]], "exponent")
        outputs, normalised = [], []
        for line in range(lines):
            gain, bias = of_line(late, line, "gain").as_signed(), of_line(late, line, "bias").as_signed()
            gain_shift = of_line(late, line, "gain_shift").as_signed()
            product, y = Signal(signed(31), name=f"product_{line}"), Signal(signed(16), name=f"y_{line}")
            down, affine = Signal(5, name=f"down_{line}"), Signal(signed(34), name=f"affine_{line}")
            first = Signal(signed(17), name=f"first_{line}")
            gains, biases, gain_shifts = (
                delay_line(
                    m, wire(m, value, f"{name}_{line}"), cycles, f"late_{name}_{line}", reset_less=True
                )
                for name, value, cycles in (
                    ("gain", gain, 3),
                    ("bias", bias, 3),
                    ("gain_shift", gain_shift, 4),
                )
            )
            y_late = Signal(signed(16), name=f"y_late_{line}")
            output = Signal(8, name=f"output_{line}")
            y_last = Signal(16, name=f"y_last_{line}")
            m.d.sync += [
                product.eq(d_buffer.word_select(line, 16).as_signed() * factor),
                down.eq((of_line(late, line, "shift") + shift_more)[:5]),
                first.eq(step.first(m, product, down)),
                y.eq(step.second(m, first, ~op["wide"])),
                affine.eq(y * gains[3].as_signed() + biases[3].as_signed()),
                y_late.eq(y),
                output.eq(Mux(op["affine"], gain_step.both(m, affine, gain_shifts[4].as_signed()), y_late)),
                y_last.eq(y_late),
            ]
            outputs.append(output)
            normalised.append(y_last)
        group, row = Signal(16), Signal(16)
        with m.If(c_valid[6]):
            m.d.sync += group.eq(group + op["dest_stride"])
            with m.If(c_last[6]):
                m.d.sync += [group.eq(0), row.eq(row + 1), counted.eq(counted + 1)]
                m.d.sync += self.rows_done.eq(self.rows_done + 1)
        with m.If(starting):
            m.d.sync += [group.eq(0), row.eq(take("dest_base"))]
        m.d.comb += [
            self.write.eq(c_valid[6]),
            self.write_address.eq(group + row),
            self.write_data.eq(Cat(*outputs)),
            self.normalised.eq(Cat(*normalised)),
        ]
        return m

    def row_buffer(
        self, m: Module, name: str, write: Value, slot: Value, word: Value, data: Any, reader: Pass
    ) -> Value:
        """Add a buffer of 16-bit rows between two passes. Latency: one cycle from the issue to the word."""
        rows = self.machine.row_words
        ports = RamPorts(write, word + slot * rows, data, 1, reader.word + reader.slot * rows)
        return ram(m, name, 16 * self.machine.lines, NORM_ROWS * rows, ports)
