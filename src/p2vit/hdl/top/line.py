"""One line of the MAC array: row buffer, multipliers, accumulators, re-quantizer and output buffer."""

from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from p2vit.hdl.arithmetic import add_tree, shift_round
from p2vit.hdl.datapath.attention_values import TOTAL_BITS, RestoringDivider
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.datapath.softmax import times_weight
from p2vit.hdl.top.buffers import output_buffer, output_ports, paired_output_buffer, slot_address
from p2vit.hdl.top.component import MachineComponent, delayed
from p2vit.hdl.top.descriptor import Mode
from p2vit.hdl.top.machine import DIVIDE_CYCLES, MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT, RtlMachine
from p2vit.hdl.top.primitives import RamPorts, ram
from p2vit.numerics.attention_values import QUOTIENT_BITS

#: Further ports of a line whose multipliers split.
PAIR_PORTS = {
    "pairs": In(1),
    "second_bias": In(signed(32)),
    "second_shift": In(signed(6)),
}


class Line(MachineComponent):
    """Multiplies the row of one token by broadcast weight columns.

    Every cycle, ``lanes`` products of one weight column are summed (two stages) and added to the accumulator of that
    column. With the last chunk of a row, the accumulator passes through bias, quotient and re-quantizer (three stages)
    into the output buffer of the line. Latency: 6 cycles. Throughput: one chunk of one column per cycle. No handshake:
    the engine starts a run only if there is space for its results.
    """

    verilog_name: ClassVar[str] = "p2vit_line"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports of a line."""
        lanes = machine.lanes
        return {
            # Load of the row, one term per cycle (two with 4-bit weights).
            "load_enable": In(lanes),
            "load_slot": In(1),
            "load_row": In(16),
            "load_low": In(8),
            "load_high": In(8),
            "parameter_write": In(1),
            "parameter_index": In(3),
            # A fetch returns the chunk in the next cycle, together with the first weight column.
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
            # After the accumulator.
            "mode": In(2),
            "planes": In(3),
            "column_bias": In(signed(32)),
            "column_shift": In(signed(6)),
            "divide": In(1),
            **(PAIR_PORTS if machine.split else {}),
            **output_ports(),
        }

    def elaborate(self, platform: object) -> Module:
        """Build row buffer, two product stages, accumulators, divider, three output stages and output buffer."""
        m = Module()
        machine = self.machine
        lanes = machine.lanes
        rows = ram(
            m,
            "row_buffer",
            8 * lanes,
            2 * machine.row_rows,
            RamPorts(
                write_enable=self.load_enable,
                write_address=slot_address(self.load_slot, self.load_row, machine.row_rows),
                write_data=Cat(self.load_high if lane % 2 else self.load_low for lane in range(lanes)),
                read_enable=self.fetch,
                read_address=slot_address(self.slot, self.chunk, machine.row_rows),
            ),
        )
        totals = self.pair_totals(m, rows) if machine.split else [self.total(m, rows)]

        # The accumulator of a column is updated two cycles after its operands.
        first, valid = delayed(m, self.first, 2, "first"), delayed(m, self.valid, 2, "valid")
        column = delayed(m, self.column, 2, "column")
        results = []
        for total, prefix in zip(totals, ("", "second_"), strict=False):
            memory = m.submodules[f"{prefix}accumulators"] = Memory(shape=32, depth=machine.lines, init=[])
            read, write = memory.read_port(domain="comb"), memory.write_port()
            result = Signal(signed(32), name=f"{prefix}result", reset_less=True)
            accumulated = Signal(signed(32), name=f"{prefix}accumulated")
            m.d.comb += [
                read.addr.eq(column),
                accumulated.eq(Mux(first, 0, read.data.as_signed()) + total),
                write.addr.eq(column),
                write.data.eq(accumulated),
                write.en.eq(valid),
            ]
            m.d.sync += result.eq(accumulated)
            results.append(result)
        result = results[0]

        # Bias and shift of a line (or its row sum), with two slots like the rows.
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
            reduced.eq(shift_round(result, down)[:18]),
            scaled.eq(Mux(self.mode == Mode.QUOTIENT, reduced * reciprocal, biased)),
        ]
        shifts = delayed(m, self.column_shift, 2, "column_shift")
        amount = Signal(signed(6))
        m.d.comb += amount.eq(Mux(by_line, own_shift, shifts))
        # A result of four bytes is the accumulator itself; a re-quantized result has one or two bytes.
        step = ShiftStage(16, -MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT)
        rounded = step.both(m, scaled, amount, narrow=self.planes[0])
        output = Signal(32, reset_less=True)
        m.d.sync += output.eq(Mux(self.planes[2], scaled[:32], rounded))
        if machine.split:
            second = self.second_output(m, results[1])
            paired_output_buffer(m, self, 32, machine.columns, output, second, self.pairs)
        else:
            output_buffer(m, self, 32, machine.columns, output)
        return m

    def total(self, m: Module, rows: Value) -> Signal:
        """Add two stages: the product of every lane, and the sum of the products."""
        products = []
        for lane in range(self.machine.lanes):
            width = 24 if self.machine.shifters else 17
            product = Signal(signed(width), name=f"product_{lane}", reset_less=True)
            m.d.sync += product.eq(
                self.product(rows.word_select(lane, 8), self.weights.word_select(lane, 8).as_signed())
            )
            products.append(product)
        total = Signal(signed(32), name="total", reset_less=True)
        m.d.sync += total.eq(add_tree(products))
        return total

    def pair_totals(self, m: Module, rows: Value) -> list[Signal]:
        """Add the two stages with multipliers that split; return the sums of the column, or of a pair of columns.

        A weight byte is 16·high + low. For an 8-bit weight, low is unsigned; the sum is 16·Σx·high + Σx·low. For a pair
        of 4-bit weights, both halves are signed weights of two columns.
        """
        low: list[Value] = []
        high: list[Value] = []
        pairs = delayed(m, self.pairs, 1, "pairs")
        for lane in range(self.machine.lanes):
            x, w = rows.word_select(lane, 8), self.weights.word_select(lane, 8)
            value = Cat(x, x[7] & self.signed_rows).as_signed()
            halves = [value * Cat(w[:4], w[3] & self.pairs).as_signed(), value * w[4:].as_signed()]
            if self.machine.shifters:
                # Codes shift the whole weight, in the place of the low half.
                shifted = times_weight(w.as_signed(), x[:4], self.guard)
                halves = [Mux(self.log2, shifted, halves[0]), Mux(self.log2, 0, halves[1])]
            for products, half, name in zip((low, high), halves, ("low", "high"), strict=True):
                product = Signal(half.shape(), name=f"{name}_product_{lane}", reset_less=True)
                m.d.sync += product.eq(half)
                products.append(product)
        sums = [Signal(signed(32), name=f"{name}_sum") for name in ("low", "high")]
        totals = [Signal(signed(32), name=name, reset_less=True) for name in ("total", "second_total")]
        m.d.comb += [sums[0].eq(add_tree(low)), sums[1].eq(add_tree(high))]
        m.d.sync += [totals[0].eq(Mux(pairs, sums[0], sums[0] + (sums[1] << 4))), totals[1].eq(sums[1])]
        return totals

    def second_output(self, m: Module, result: Value) -> Signal:
        """Add the three output stages of the odd column of a pair, which has bias and shift per column."""
        biased = Signal(signed(33), name="second_biased", reset_less=True)
        scaled = Signal(signed(33), name="second_scaled", reset_less=True)
        output = Signal(32, name="second_output", reset_less=True)
        step = ShiftStage(16, -MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT)
        shift = delayed(m, self.second_shift, 2, "second_shift").as_signed()
        rounded = step.both(m, scaled, shift, narrow=self.planes[0])
        m.d.sync += [
            biased.eq(result + self.second_bias),
            scaled.eq(biased),
            output.eq(Mux(self.planes[2], scaled[:32], rounded)),
        ]
        return output

    def product(self, x: Value, w: Value) -> Value:
        """Return an int8 or uint8 term times an int8 weight; for log2 codes, the shifted weight."""
        value = Cat(x, x[7] & self.signed_rows).as_signed()
        if not self.machine.shifters:
            return value * w
        code = x[:4]
        shifted = times_weight(w, code, self.guard)
        return Mux(self.log2, shifted, value * w)

    def divider(self, m: Module, row_sum: Value) -> tuple[Signal, Signal]:
        """Add the divider; return n − 8 and ``⌊2^(n+14) / sum⌋`` for a row sum of n bits. One quotient bit per cycle.

        Every row contains its maximum, which has weight 255 or 2^guard with guard ≥ 8. So n is at least 8.
        """
        down, reciprocal = Signal(5), Signal(signed(18))
        division = RestoringDivider(m, row_sum[:TOTAL_BITS])
        steps = Signal(range(DIVIDE_CYCLES))
        with m.If(self.divide):
            m.d.sync += [
                *division.load(),
                down.eq(division.length - QUOTIENT_BITS),
                steps.eq(DIVIDE_CYCLES - 1),
            ]
        with m.Elif(steps != 0):
            m.d.sync += [*division.step(), steps.eq(steps - 1)]
        m.d.comb += reciprocal.eq(division.quotient)
        return down, reciprocal
