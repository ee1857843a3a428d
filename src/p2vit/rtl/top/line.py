"""One line of the MAC array: the products of one token's row, its accumulators, and what re-quantizes them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.bits import bit_length, requantized, round_right
from p2vit.rtl.top.descriptor import Mode

#: Cycles from the operands' registers to the re-quantized result.
LINE_LATENCY = 6
#: Cycles of the reciprocal of a row sum: its width, then one quotient bit per cycle.
DIVIDE_CYCLES = 17


class Line(wiring.Component):
    """A token's row times broadcast weight columns.

    Per cycle ``lanes`` products of one weight column are summed (two stages) and added to that column's accumulator;
    the last chunk of a row leaves through bias, quotient and re-quantizer (three stages). No handshake: the
    engine only starts what has room behind it. Throughput: one chunk of one column per cycle. Latency: 6.

    Args:
        lanes: Terms per cycle.
        columns: Accumulators: columns that are worked on in turn while the row's chunk stands still.
        shifters: With a shifter per lane for log2 codes.
    """

    def __init__(self, lanes: int, columns: int, shifters: bool) -> None:
        self.lanes, self.columns, self.shifters = lanes, columns, shifters
        super().__init__(self.ports(lanes, columns))

    @staticmethod
    def ports(lanes: int, columns: int) -> dict[str, wiring.Member]:
        """Ports of a line of that size."""
        return {
                "rows": In(8 * lanes),
                "load_rows": In(1),
                "weights": In(8 * lanes),
                "signed_rows": In(1),
                "log2": In(1),
                "guard": In(4),
                "first": In(1),
                "valid": In(1),
                "column": In(range(columns)),
                "mode": In(2),
                "planes": In(3),
                "column_bias": In(signed(32)),
                "column_shift": In(signed(6)),
                "parameter_write": In(1),
                "parameter_slot": In(1),
                "parameter_index": In(3),
                "parameter_byte": In(8),
                "slot": In(1),
                "divide": In(1),
                "result": Out(32),
        }

    def elaborate(self, platform: object) -> Module:
        """Two product stages, accumulator, three output stages; the divider beside them."""
        m = Module()
        lanes = self.lanes
        rows = Signal(8 * lanes)
        with m.If(self.load_rows):
            m.d.sync += rows.eq(self.rows)

        # Products of the registered row with the (registered) broadcast weights.
        products = []
        for lane in range(lanes):
            x = rows[8 * lane : 8 * lane + 8]
            w = self.weights[8 * lane : 8 * lane + 8].as_signed()
            value = Cat(x, x[7] & self.signed_rows).as_signed()
            product = Signal(signed(24 if self.shifters else 17), name=f"product_{lane}")
            if self.shifters:
                code = x[:4]
                shifted = Mux(code > self.guard, 0, w << (self.guard - code)[:4])
                m.d.sync += product.eq(Mux(self.log2, shifted, value * w))
            else:
                m.d.sync += product.eq(value * w)
            products.append(product)
        total = Signal(signed(32))
        m.d.sync += total.eq(tree(products))

        # The column's accumulator, two cycles after its operands.
        def delayed(value: Signal, cycles: int, name: str) -> Signal:
            for step in range(cycles):
                following = Signal(value.shape(), name=f"{name}_{step}")
                m.d.sync += following.eq(value)
                value = following
            return value

        first, valid = delayed(self.first, 2, "first"), delayed(self.valid, 2, "valid")
        column = delayed(self.column, 2, "column")
        m.submodules.accumulators = memory = Memory(shape=32, depth=self.columns, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        result = Signal(signed(32))
        accumulated = Signal(signed(32))
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
            with m.If(self.parameter_write & (self.parameter_slot == slot)):
                for index in range(4):
                    with m.If(self.parameter_index == index):
                        m.d.sync += bias[slot][8 * index : 8 * index + 8].eq(self.parameter_byte)
                with m.If(self.parameter_index == 4):
                    m.d.sync += shift[slot].eq(self.parameter_byte)
        own_bias = Mux(self.slot, bias[1], bias[0])
        own_shift = Mux(self.slot, shift[1], shift[0])

        down, reciprocal = self.divider(m, own_bias)

        # Output stage 1: bias, or the accumulator reduced to 16 bits; 2: times the reciprocal; 3: re-quantize.
        quotient = self.mode == Mode.QUOTIENT
        biased, reduced = Signal(signed(33)), Signal(signed(18))
        scaled = Signal(signed(34))
        by_line, by_column = self.mode == Mode.LINE, self.mode == Mode.COLUMN
        m.d.sync += [
            biased.eq(result + Mux(by_line, own_bias, Mux(by_column, self.column_bias, 0))),
            reduced.eq(round_right(result, down, 18)),
            scaled.eq(Mux(quotient, reduced * reciprocal, biased)),
        ]
        shifts = delayed(self.column_shift, 2, "column_shift")
        amount = Signal(signed(6))
        m.d.comb += amount.eq(Mux(by_line, own_shift, Mux(self.mode == Mode.RAW, 0, shifts)))
        m.d.sync += self.result.eq(requantized(m, scaled, amount, self.planes, "out"))
        return m

    def divider(self, m: Module, row_sum: Signal) -> tuple[Signal, Signal]:
        """n − 8 and ``⌊2^(n+14) / sum⌋`` of the row sum, n its bit length; one quotient bit per cycle."""
        down, reciprocal = Signal(5), Signal(signed(18))
        divisor, rest, quotient = Signal(32), Signal(33), Signal(16)
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


def tree(values: list) -> Signal:
    """Balanced sum."""
    while len(values) > 1:
        values = [
            values[i] + values[i + 1] if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)
        ]
    return values[0]
