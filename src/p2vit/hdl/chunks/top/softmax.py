"""Softmax chunk: two passes over the scores of a row, and the reciprocal of the sum of its weights."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.arithmetic import add_tree, bit_length, larger, largest, shift_with_half, wire
from p2vit.hdl.chunks.machine import SCORE_BITS, ChunkMachine
from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Kind
from p2vit.hdl.datapath.attention_values import STEPS, TOTAL_BITS
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
from p2vit.hdl.top.component import delay_line
from p2vit.numerics.softmax import DISTANCE_BITS, LARGEST_LOG2_CODE, OCTAVE_FACTOR

#: Fields of the descriptor that are registered for the duration of an operation.
FIELDS = (
    *("rows", "words", "tail", "base", "stride", "dest_base", "dest_stride", "wait_base", "shift", "log2"),
    *("guard", "slot"),
)
#: Cycles from the issue of a word to its codes, and to the sum of the row.
CODE_CYCLES, SUM_CYCLES = 9, 11
#: Cycles from the issue of the last word to the reciprocal.
RECIPROCAL_CYCLES = SUM_CYCLES + 1 + STEPS
#: Largest left shift of a distance; more would saturate in the same way.
MOST_LEFT = DISTANCE_BITS


class SoftmaxChunk(wiring.Component):
    """Turns rows of scores into codes, and the sum of a row's weights into its reciprocal.

    A word of log2 codes has those of two rows, which two products of the array take together.

    Latency: ``CODE_CYCLES`` cycles from a word of the second pass to its codes; ``SOFTMAX_LATENCY`` cycles from the
    last word of a row to the count of the row, when codes and reciprocal can be read. Throughput: one word per cycle
    and pass. Handshake: a row waits until all its scores are written.
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
                "address": Out(16),
                "scores": In(SCORE_BITS * lines),
                "write": Out(1),
                "write_halves": Out(2),
                "write_address": Out(16),
                "write_data": Out(8 * lines),
                "high_codes": Out(4 * lines),
                "reciprocal_write": Out(1),
                "reciprocal_address": Out(16),
                "reciprocal": Out(STEPS),
                "length": Out(5),
                "rows_done": Out(24),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the walk, the pipeline from scores to codes, and the pipeline of the reciprocal."""
        m = Module()
        machine, lines = self.machine, self.machine.lines
        take = decoder(self.queue_word, Kind.SOFTMAX)
        op = {name: Signal(len(take(name)), name=f"op_{name}") for name in FIELDS}
        active, second = Signal(), Signal()
        row, word, address, row_address, need = Signal(13), Signal(12), Signal(16), Signal(16), Signal(24)
        issue, first, last, finishing, starting = (
            Signal(name=name) for name in ("issue", "first", "last", "finishing", "starting")
        )
        code_address, code_row = Signal(16), Signal(16)
        m.d.comb += [
            first.eq(word == 0),
            last.eq(word == op["words"] - 1),
            issue.eq(active & (~first | second | (self.written >= need))),
            finishing.eq(issue & last & second & (row == op["rows"] - 1)),
            starting.eq(self.queue_valid & (~active | finishing)),
            self.queue_ready.eq(starting),
            self.address.eq(address),
        ]
        with m.If(issue):
            m.d.sync += [word.eq(word + 1), address.eq(address + op["stride"])]
            with m.If(second):
                m.d.sync += code_address.eq(code_address + op["dest_stride"])
            with m.If(last):
                m.d.sync += [word.eq(0), second.eq(~second), address.eq(row_address)]
                with m.If(second):
                    m.d.sync += [row.eq(row + 1), need.eq(need + 1)]
                    m.d.sync += [signal.eq(row_address + 1) for signal in (row_address, address)]
                    # Two rows of log2 codes share their words.
                    following = code_row + (~op["log2"] | row[0])
                    m.d.sync += [signal.eq(following) for signal in (code_row, code_address)]
                    with m.If(finishing):
                        m.d.sync += active.eq(0)
        with m.If(starting):
            m.d.sync += [signal.eq(take(name)) for name, signal in op.items()]
            m.d.sync += [active.eq(1), row.eq(0), need.eq(take("wait_base"))]
            m.d.sync += [signal.eq(take("base")) for signal in (row_address, address)]
            m.d.sync += [signal.eq(take("dest_base")) for signal in (code_row, code_address)]

        # --- controls; element n is the value n cycles after the issue of the word
        def late(value: Value, cycles: int, name: str, *, reset_less: bool = True) -> list[Value]:
            held = Signal(len(value), name=name)
            m.d.comb += held.eq(value)
            return delay_line(m, held, cycles, name, reset_less=reset_less)

        maximises = late(issue & ~second, 2, "maximises", reset_less=False)
        codes_now = late(issue & second, SUM_CYCLES, "codes_now", reset_less=False)
        begins, ends = late(first, SUM_CYCLES, "begins"), late(last, SUM_CYCLES, "ends")
        live = late(Mux(last, op["tail"], lines), CODE_CYCLES, "live")
        shift, log2 = late(op["shift"], 3, "late_shift"), late(op["log2"], CODE_CYCLES, "late_log2")
        guard, places = (
            late(op["guard"], CODE_CYCLES, "late_guard"),
            late(code_address, CODE_CYCLES, "places"),
        )
        odd = late(row[0], CODE_CYCLES, "odd_row")
        # A single last row of log2 codes counts as two, because the array takes rows in twos.
        single = late(op["log2"] & ~row[0] & (row == op["rows"] - 1), RECIPROCAL_CYCLES, "single_row")
        rows = late(Mux(op["slot"], row + machine.tokens, row), RECIPROCAL_CYCLES, "late_row")

        # --- maximum, distance, octaves
        scores = [self.scores.word_select(line, SCORE_BITS).as_signed() for line in range(lines)]
        lowest = C(-(1 << (SCORE_BITS - 1)), signed(SCORE_BITS))
        word_most, most = Signal(signed(SCORE_BITS)), Signal(signed(SCORE_BITS))
        m.d.sync += word_most.eq(
            largest(m, [Mux(live[1] > line, s, lowest).as_signed() for line, s in enumerate(scores)])
        )
        with m.If(maximises[2]):
            m.d.sync += most.eq(Mux(begins[2], word_most, larger(m, most, word_most)))
        amount = wire(
            m, Mux(shift[3].as_signed() < -MOST_LEFT, C(0), shift[3].as_signed() + MOST_LEFT)[:6], "amount"
        )
        table = m.submodules.table = exp2_table()
        codes, weights = [], []
        for line, score in enumerate(scores):
            held = Signal(signed(SCORE_BITS), name=f"score_{line}", reset_less=True)
            distance = Signal(SCORE_BITS + 1, name=f"distance_{line}", reset_less=True)
            cut = Signal(DISTANCE_BITS + 1, name=f"cut_{line}", reset_less=True)
            z, u = (Signal(DISTANCE_BITS, name=f"{name}_{line}", reset_less=True) for name in ("z", "u"))
            port = table.read_port()
            whole = Signal(5, name=f"whole_{line}", reset_less=True)
            twice = Signal(10, name=f"twice_{line}", reset_less=True)
            code, weight = Signal(8, name=f"code_{line}", reset_less=True), Signal(16, name=f"weight_{line}")
            m.d.comb += [port.addr.eq(table_index(u)), port.en.eq(1)]
            late_u = delay_line(m, u, 2, f"late_u_{line}", reset_less=True)
            on = live[8] > line
            linear, octave = linear_code(m, twice), log2_code(m, late_u[2])
            m.d.sync += [
                held.eq(score),
                distance.eq((most - held)[: SCORE_BITS + 1]),
                cut.eq(cut_distance(m, shift_with_half(distance, amount, raised=MOST_LEFT))),
                z.eq(rounded_distance(m, cut)),
                u.eq(octaves_of(z * OCTAVE_FACTOR)),
                whole.eq(whole_octaves(u)),
                twice.eq(linear_twice(port.data, whole)),
                code.eq(Mux(on, Mux(log2[8], octave, linear), Mux(log2[8], LARGEST_LOG2_CODE, 0))),
            ]
            m.d.comb += weight.eq(
                Mux(live[9] > line, Mux(log2[9], times_weight(C(1), code[:4], guard[9]), code), 0)
            )
            codes.append(code)
            weights.append(weight)
        word_sum, total = Signal(TOTAL_BITS), Signal(TOTAL_BITS)
        m.d.sync += word_sum.eq(add_tree(weights))
        with m.If(codes_now[10]):
            m.d.sync += total.eq(Mux(begins[10], 0, total) + word_sum)
        m.d.comb += [
            self.write.eq(codes_now[CODE_CYCLES]),
            self.write_halves.eq(
                Mux(log2[CODE_CYCLES], Mux(odd[CODE_CYCLES], 2, 1), 3) & self.write.replicate(2)
            ),
            self.high_codes.eq(Cat(Mux(log2[CODE_CYCLES], code[:4], code[4:]) for code in codes)),
            self.write_address.eq(places[CODE_CYCLES]),
            self.write_data.eq(Cat(*codes)),
        ]

        # --- reciprocal: one quotient bit per stage
        done = wire(m, codes_now[SUM_CYCLES] & ends[SUM_CYCLES], "row_ends")
        finished = delay_line(m, done, 1 + STEPS, "row_done")
        length = bit_length(m, total)
        lengths = delay_line(m, wire(m, length, "length_now"), 1 + STEPS, "length", reset_less=True)
        divisor, rest = Signal(TOTAL_BITS, reset_less=True), Signal(TOTAL_BITS + 1, reset_less=True)
        quotient: Value = C(0, STEPS)
        m.d.sync += [divisor.eq(total), rest.eq((C(1, TOTAL_BITS + 1) << length)[1:])]
        for step in range(STEPS):
            fits = wire(m, rest >= divisor, f"fits_{step}")
            kept = (rest - Mux(fits, divisor, 0))[:TOTAL_BITS]
            following = [
                Signal(width, name=f"{name}_{step}", reset_less=True)
                for name, width in (("divisor", TOTAL_BITS), ("rest", TOTAL_BITS + 1), ("quotient", STEPS))
            ]
            m.d.sync += [
                following[0].eq(divisor),
                following[1].eq(Cat(C(0, 1), kept)),
                following[2].eq(Cat(fits, quotient[:-1])),
            ]
            divisor, rest, quotient = following
        m.d.comb += [
            self.reciprocal_write.eq(finished[-1]),
            self.reciprocal_address.eq(rows[RECIPROCAL_CYCLES]),
            self.reciprocal.eq(quotient),
            self.length.eq(lengths[-1]),
        ]
        with m.If(finished[-1]):
            m.d.sync += self.rows_done.eq(self.rows_done + 1 + single[RECIPROCAL_CYCLES])
        return m
