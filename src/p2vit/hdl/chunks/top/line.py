"""One line of the array: stationary weights, multipliers, accumulators of all tokens, and the output stages."""

from typing import ClassVar

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.arithmetic import add_tree, offset_binary, shift_round
from p2vit.hdl.chunks.machine import MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT, TABLE_ENTRIES, ChunkMachine
from p2vit.hdl.chunks.top.component import ChunkComponent
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.datapath.softmax import times_weight
from p2vit.hdl.top.primitives import RamPorts, ram

#: Parameters of a channel: name, width, first bit.
PARAMETERS = (("bias", 32, 0), ("shift", 6, 32), ("left_a", 4, 38), ("left_b", 4, 42), ("sum_shift", 4, 46))
#: Bits of the parameters of a channel.
PARAMETER_BITS = 64


class Line(ChunkComponent):
    """One output channel: ``lanes`` stationary weights are multiplied by the operand of one token per cycle.

    The next weights are loaded beside the current ones, and ``swap`` exchanges them. The suffix of a port is the
    number of the cycle after the issue of the operand in which the port is used. Latency: 11 cycles from the issue to
    ``written``. Throughput: one operand of ``lines`` terms per cycle. No handshake: the array drives the stages.
    """

    verilog_name: ClassVar[str] = "p2vit_chunk_line"

    @staticmethod
    def ports(machine: ChunkMachine) -> dict[str, wiring.Member]:
        """Return the ports of a line."""
        width, token = 8 * machine.lines, range(machine.tokens)
        return {
            "load_line": In(1),
            "load_lanes": In(machine.lines),
            "load_word": In(width),
            "load_byte": In(8),
            "by_lane": In(1),
            "swap": In(1),
            "parameter_planes": In(8),
            "table_write": In(1),
            "load_slot": In(1),
            "table_row": In(8),
            "operand_2": In(width),
            "signed_2": In(1),
            "log2_2": In(1),
            "pairs_2": In(1),
            "guard_2": In(4),
            "token_3": In(token),
            "valid_4": In(1),
            "first_4": In(1),
            "second_4": In(1),
            "token_4": In(token),
            "slot_5": In(1),
            "biased_5": In(1),
            "down_5": In(signed(6)),
            "reciprocal_6": In(16),
            "quotient_6": In(1),
            "slot_7": In(1),
            "narrow_7": In(1),
            "raw_7": In(1),
            "slot_8": In(1),
            "slot_9": In(1),
            "table_9": In(1),
            "add_9": In(1),
            "stream_9": In(16),
            "slot_10": In(1),
            "add_10": In(1),
            "narrow_10": In(1),
            "result": Out(32),
            "written": Out(32),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the weights, two product stages, the accumulators, and six output stages."""
        m = Module()
        machine = self.machine
        # --- stationary weights
        next_weights = [Signal(8, name=f"next_{lane}", reset_less=True) for lane in range(machine.lines)]
        weights = [Signal(8, name=f"weight_{lane}", reset_less=True) for lane in range(machine.lines)]
        for lane, weight in enumerate(next_weights):
            with m.If(self.load_lanes[lane] & (self.by_lane | self.load_line)):
                m.d.sync += weight.eq(Mux(self.by_lane, self.load_byte, self.load_word.word_select(lane, 8)))
        with m.If(self.swap):
            m.d.sync += [now.eq(following) for now, following in zip(weights, next_weights, strict=True)]
        slots = [Signal(PARAMETER_BITS, name=f"parameters_{slot}", reset_less=True) for slot in range(2)]
        for slot, held in enumerate(slots):
            for plane in range(8):
                with m.If(self.parameter_planes[plane] & (self.load_slot == slot)):
                    m.d.sync += held.word_select(plane, 8).eq(self.load_byte)

        def parameter(name: str, slot: Value) -> Value:
            width, at = next((width, at) for key, width, at in PARAMETERS if key == name)
            return Array(slots)[slot][at : at + width]

        # --- products, their sums, accumulators
        low: list[Value] = []
        high: list[Value] = []
        for lane, weight in enumerate(weights):
            x = self.operand_2.word_select(lane, 8)
            value = Cat(x, x[7] & self.signed_2).as_signed()
            # A weight is 16·high + low, with an unsigned low half, or has two signed halves of two channels. A byte of
            # log2 codes has the codes of two tokens, which both shift the weight.
            halves = [
                value * Cat(weight[:4], weight[3] & self.pairs_2).as_signed(),
                value * weight[4:].as_signed(),
            ]
            shifted = [times_weight(weight.as_signed(), code, self.guard_2) for code in (x[:4], x[4:])]
            for products, half, other, name in zip(
                (low, high), halves, shifted, ("low", "high"), strict=True
            ):
                product = Signal(signed(24), name=f"{name}_product_{lane}", reset_less=True)
                m.d.sync += product.eq(Mux(self.log2_2, other, half))
                products.append(product)
        apart = Signal()
        sums = [Signal(signed(32), name=f"{name}_sum") for name in ("low", "high")]
        totals = [Signal(signed(32), name=f"{name}_total", reset_less=True) for name in ("first", "second")]
        m.d.comb += [sums[0].eq(add_tree(low)), sums[1].eq(add_tree(high))]
        m.d.sync += [
            apart.eq(self.pairs_2 | self.log2_2),
            totals[0].eq(Mux(apart, sums[0], sums[0] + (sums[1] << 4))),
            totals[1].eq(sums[1]),
        ]
        accumulated, before = [], []
        for total, name in zip(totals, ("first", "second"), strict=True):
            now = Signal(signed(32), name=f"{name}_accumulated")
            held = ram(
                m,
                f"{name}_accumulators",
                32,
                machine.tokens,
                RamPorts(self.valid_4, self.token_4, now, Const(1), self.token_3),
            )
            m.d.comb += now.eq(Mux(self.first_4, 0, held.as_signed()) + total)
            accumulated.append(now)
            before.append(held)
        result = Signal(signed(32), reset_less=True)
        # The second sums are put out while the next group of channels begins and overwrites them.
        m.d.sync += result.eq(Mux(self.second_4, before[1].as_signed(), accumulated[0]))

        # --- bias, or 16 bits of the accumulator; product with the reciprocal; shift and rounding
        biased, reduced = Signal(signed(33), reset_less=True), Signal(signed(18), reset_less=True)
        scaled, rounded = Signal(signed(34), reset_less=True), Signal(signed(32), reset_less=True)
        bias = parameter("bias", self.slot_5).as_signed()
        step = ShiftStage(16, -MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT)
        shifted = step.both(m, scaled, parameter("shift", self.slot_7).as_signed(), narrow=self.narrow_7)
        m.d.sync += [
            biased.eq(result + Mux(self.biased_5, bias, 0)),
            reduced.eq(shift_round(result, self.down_5[:5])[:18]),
            scaled.eq(Mux(self.quotient_6, reduced * self.reciprocal_6, biased)),
            rounded.eq(Mux(self.raw_7, scaled[:32].as_signed(), shifted)),
        ]
        m.d.comb += self.result.eq(rounded)

        # --- table; sum with the residual stream; shift and rounding of the sum
        rows = TABLE_ENTRIES // machine.lines
        index = Signal(8)
        m.d.comb += index.eq(offset_binary(rounded[:8]))
        bits = (machine.lines - 1).bit_length()
        row = ram(
            m,
            "table",
            8 * machine.lines,
            2 * rows,
            RamPorts(
                self.table_write,
                self.table_row[: 8 - bits] + Mux(self.load_slot, rows, 0),
                self.load_word,
                1,
                index[bits:] + Mux(self.slot_8, rows, 0),
            ),
        )
        column, late = Signal(bits), Signal(signed(32), reset_less=True)
        looked_up, final = Signal(signed(8)), Signal(32, reset_less=True)
        taken, total_of_two = Signal(signed(33), reset_less=True), Signal(signed(33))
        left_a, left_b = parameter("left_a", self.slot_9), parameter("left_b", self.slot_9)
        m.d.comb += [
            looked_up.eq(row.word_select(column, 8)),
            total_of_two.eq((self.stream_9.as_signed() << left_a) + (late[:16].as_signed() << left_b)),
        ]
        add = ShiftStage(16, 0, 15)
        summed = add.both(m, taken, parameter("sum_shift", self.slot_10), narrow=self.narrow_10)
        m.d.sync += [
            column.eq(index[:bits]),
            late.eq(rounded),
            taken.eq(Mux(self.add_9, total_of_two, Mux(self.table_9, looked_up, late))),
            final.eq(Mux(self.add_10, summed, taken[:32])),
        ]
        m.d.comb += self.written.eq(final)
        return m
