"""One line of the MAC array: a token's row, its products, accumulators, re-quantizer and output buffer."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.bits import bit_length, requantized, round_right
from p2vit.rtl.top.bus import delayed, place
from p2vit.rtl.top.descriptor import Mode
from p2vit.rtl.top.machine import DIVIDE_CYCLES, RtlMachine
from p2vit.rtl.top.primitives import ram


class Line(wiring.Component):
    """A token's row times broadcast weight columns.

    Per cycle ``lanes`` products of one weight column are summed (two stages) and added to that column's accumulator;
    with the last chunk of a row the accumulator leaves through bias, quotient and re-quantizer (three stages) into the
    line's output buffer. No handshake: the engine only starts what has room. Throughput: one chunk of one column per
    cycle. Latency: 6 cycles.

    Args:
        machine: Sizes.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(self.ports(machine))

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Ports of a line of that machine."""
        lanes = machine.lanes
        return {
            # The row, loaded a term at a time (two with 4-bit weights).
            "load_enable": In(lanes),
            "load_slot": In(1),
            "load_row": In(16),
            "load_low": In(8),
            "load_high": In(8),
            "parameter_write": In(1),
            "parameter_index": In(3),
            # A fetch brings the chunk in the next cycle, together with the first weight column.
            "slot": In(1),
            "fetch": In(1),
            "chunk": In(16),
            "weights": In(8 * lanes),
            "signed_rows": In(1),
            "log2": In(1),
            "guard": In(4),
            "first": In(1),
            "valid": In(1),
            "column": In(range(machine.lines)),
            # Behind the accumulator.
            "mode": In(2),
            "planes": In(3),
            "column_bias": In(signed(32)),
            "column_shift": In(signed(6)),
            "divide": In(1),
            "write": In(1),
            "write_slot": In(1),
            "write_column": In(16),
            # The store engine's side.
            "read": In(1),
            "read_slot": In(1),
            "read_column": In(16),
            "read_plane": In(2),
            "byte": Out(8),
        }

    def elaborate(self, platform: object) -> Module:
        """Row buffer, two product stages, accumulator, three output stages, output buffer; the divider beside them."""
        m = Module()
        machine = self.machine
        lanes = machine.lanes
        rows = ram(
            m,
            "row_buffer",
            8 * lanes,
            2 * machine.row_rows,
            write_enable=self.load_enable,
            write_address=place(self.load_slot, self.load_row, machine.row_rows),
            write_data=Cat(self.load_high if lane % 2 else self.load_low for lane in range(lanes)),
            read_enable=self.fetch,
            read_address=place(self.slot, self.chunk, machine.row_rows),
        )
        products = []
        for lane in range(lanes):
            product = Signal(signed(24 if machine.shifters else 17), name=f"product_{lane}", reset_less=True)
            x, w = rows[8 * lane : 8 * lane + 8], self.weights[8 * lane : 8 * lane + 8].as_signed()
            m.d.sync += product.eq(self.product(x, w))
            products.append(product)
        total = Signal(signed(32), reset_less=True)
        m.d.sync += total.eq(tree(products))

        # The column's accumulator, two cycles after its operands.
        first, valid = delayed(m, self.first, 2, "first"), delayed(m, self.valid, 2, "valid")
        column = delayed(m, self.column, 2, "column")
        m.submodules.accumulators = memory = Memory(shape=32, depth=machine.lines, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        result, accumulated = Signal(signed(32), reset_less=True), Signal(signed(32))
        m.d.comb += [
            read.addr.eq(column),
            accumulated.eq(Mux(first, 0, read.data.as_signed()) + total),
            write.addr.eq(column),
            write.data.eq(accumulated),
            write.en.eq(valid),
        ]
        m.d.sync += result.eq(accumulated)

        # Bias and shift of a line (or its row sum), two slots like the rows themselves.
        bias = [Signal(signed(32), name=f"bias_{slot}") for slot in range(2)]
        shift = [Signal(signed(6), name=f"shift_{slot}") for slot in range(2)]
        for slot in range(2):
            with m.If(self.parameter_write & (self.load_slot == slot)):
                for index in range(4):
                    with m.If(self.parameter_index == index):
                        m.d.sync += bias[slot][8 * index : 8 * index + 8].eq(self.load_low)
                with m.If(self.parameter_index == 4):
                    m.d.sync += shift[slot].eq(self.load_low)
        own_bias, own_shift = Mux(self.slot, bias[1], bias[0]), Mux(self.slot, shift[1], shift[0])
        down, reciprocal = self.divider(m, own_bias)

        # Output stage 1: bias, or the accumulator reduced to 16 bits; 2: times the reciprocal; 3: re-quantize.
        by_line, by_column = self.mode == Mode.LINE, self.mode == Mode.COLUMN
        biased, reduced = Signal(signed(33), reset_less=True), Signal(signed(18), reset_less=True)
        scaled = Signal(signed(34), reset_less=True)
        m.d.sync += [
            biased.eq(result + Mux(by_line, own_bias, Mux(by_column, self.column_bias, 0))),
            reduced.eq(round_right(result, down, 18)),
            scaled.eq(Mux(self.mode == Mode.QUOTIENT, reduced * reciprocal, biased)),
        ]
        shifts = delayed(m, self.column_shift, 2, "column_shift")
        amount = Signal(signed(6))
        output = Signal(32, reset_less=True)
        m.d.comb += amount.eq(Mux(by_line, own_shift, Mux(self.mode == Mode.RAW, 0, shifts)))
        m.d.sync += output.eq(requantized(m, scaled, amount, self.planes, "out"))

        stored = ram(
            m,
            "output_buffer",
            32,
            2 * machine.columns,
            write_enable=self.write,
            write_address=place(self.write_slot, self.write_column, machine.columns),
            write_data=output,
            read_enable=self.read,
            read_address=place(self.read_slot, self.read_column, machine.columns),
        )
        plane = Signal(2)
        with m.If(self.read):
            m.d.sync += plane.eq(self.read_plane)
        m.d.comb += self.byte.eq(stored.word_select(plane, 8))
        return m

    def product(self, x: Value, w: Value) -> Value:
        """An int8 or uint8 term times an int8 weight; with log2 codes, the weight shifted."""
        value = Cat(x, x[7] & self.signed_rows).as_signed()
        if not self.machine.shifters:
            return value * w
        code = x[:4]
        shifted = Mux(code > self.guard, 0, w << (self.guard - code)[:4])
        return Mux(self.log2, shifted, value * w)

    def divider(self, m: Module, row_sum: Value) -> tuple[Signal, Signal]:
        """N − 8 and ``⌊2^(n+14) / sum⌋`` of the row sum, n its bit length; one quotient bit per cycle."""
        down, reciprocal = Signal(5), Signal(signed(18))
        divisor, rest, quotient = (Signal(bits, reset_less=True) for bits in (32, 33, 16))
        steps = Signal(range(DIVIDE_CYCLES + 1))
        found = Signal(32)
        m.d.comb += found.eq(row_sum)
        width = bit_length(m, found, "sum_bits")
        with m.If(self.divide):
            m.d.sync += [
                divisor.eq(found),
                down.eq(Mux(width > 8, width - 8, 0)),
                rest.eq((Const(1, 33) << width) >> 1),
                quotient.eq(0),
                steps.eq(DIVIDE_CYCLES - 1),
            ]
        with m.Elif(steps != 0):
            fits = rest >= divisor
            m.d.sync += [
                rest.eq(Mux(fits, rest - divisor, rest) << 1),
                quotient.eq(Cat(fits, quotient[:15])),
                steps.eq(steps - 1),
            ]
        m.d.comb += reciprocal.eq(quotient)
        return down, reciprocal


def tree(values: list) -> Value:
    """Balanced sum."""
    while len(values) > 1:
        values = [
            values[i] + values[i + 1] if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)
        ]
    return values[0]
