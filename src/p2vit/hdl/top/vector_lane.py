"""One lane of the vector engine: all operations on the numbers of one token outside the array."""

from typing import ClassVar

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.arithmetic import offset_binary, round_last_bit, shift_round, shift_with_half
from p2vit.hdl.datapath.layernorm import (
    INDEX_BITS,
    TOTAL_BITS,
    common_shift,
    epsilon_twice,
    positive_total,
    root_exponent,
    root_index,
)
from p2vit.hdl.datapath.requantize import ShiftStage
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
from p2vit.hdl.top.buffers import output_buffer, output_ports, slot_address
from p2vit.hdl.top.component import MachineComponent, delay_line, delayed
from p2vit.hdl.top.descriptor import VectorOp
from p2vit.hdl.top.machine import (
    LANE_LATENCY,
    MAX_DISTANCE_SHIFT,
    MAX_LEFT_SHIFT,
    MAX_RIGHT_SHIFT,
    RtlMachine,
)
from p2vit.hdl.top.primitives import RamPorts, ram
from p2vit.numerics.layernorm import ENTRY_BITS, EPSILON_BITS
from p2vit.numerics.softmax import OCTAVE_FACTOR


class VectorLane(MachineComponent):
    """Pipeline for the numbers of one token, with five stages: align, multiply-add, shift, multiply, re-quantize.

    A number and its parameters arrive together with ``valid``. ``phase`` is the number of the pass. LayerNorm: pass 0
    computes sum, minimum and maximum, pass 1 the sum of squares, pass 2 the output. Softmax: pass 0 computes the
    maximum, pass 1 the codes and their sum. Between passes, the engine triggers the scalar steps. Latency: 5 cycles.
    Throughput: one number per cycle. No handshake: the engine drives the stages.
    """

    verilog_name: ClassVar[str] = "p2vit_vector_lane"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports of a lane."""
        return {
            # Load of a byte of a number, or of an entry of the table.
            "load_enable": In(4),
            "load_slot": In(1),
            "load_row": In(16),
            "load_byte": In(8),
            "table_enable": In(1),
            "table_byte": In(8),
            # A read returns the number in the next cycle, together with its parameters.
            "read": In(1),
            "slot": In(1),
            "column": In(16),
            "parameters": In(64),
            "valid": In(1),
            "in_range": In(1),
            "group": In(range(max(machine.table_groups, 2))),
            "clear": In(1),
            "phase": In(2),
            "op": In(3),
            "planes": In(3),
            "channels": In(16),
            "limit": In(16),
            "epsilon": In(EPSILON_BITS + 1),
            "epsilon_shift": In(signed(6)),
            "squares_shift": In(4),
            "softmax_shift": In(signed(6)),
            "log2": In(1),
            "guard": In(4),
            "flip": In(1),
            "narrow_a": In(1),
            "narrow_b": In(1),
            # Strobes of the scalar steps between passes.
            "step_most": In(1),
            "step_least": In(1),
            "step_shift": In(1),
            "step_total": In(1),
            "step_exponent": In(1),
            "step_index": In(1),
            "factor_write": In(1),
            "factor": In(ENTRY_BITS),
            "aligned": Out(signed(17)),
            "index": Out(INDEX_BITS),
            # Output buffer: a result, the sum of a column over the lines, or a byte of the row sum.
            "column_sum": In(16),
            "sum_byte": In(2),
            "sum_valid": In(1),
            **output_ports(),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the stages in order, then the scalar steps."""
        m = Module()
        machine = self.machine
        depth = machine.vector_columns
        value = ram(
            m,
            "input_buffer",
            32,
            2 * depth,
            RamPorts(
                write_enable=self.load_enable,
                write_address=slot_address(self.load_slot, self.load_row, depth),
                write_data=self.load_byte.replicate(4),
                read_enable=self.read,
                read_address=slot_address(self.slot, self.column, depth),
            ),
        )
        is_norm = self.op == VectorOp.LAYERNORM
        is_softmax = self.op == VectorOp.SOFTMAX
        is_add = self.op == VectorOp.ADD
        is_affine = self.op == VectorOp.AFFINE

        # The parameters of the column are delayed together with its number.
        parameters = delay_line(m, self.parameters, 4, "parameter", reset_less=True)
        valid = delay_line(m, self.valid, 4, "valid")

        # 1: align.
        byte, other = value[:8].as_signed(), value[16:24].as_signed()
        low = Mux(self.narrow_a, byte, value[:16].as_signed())
        high = Mux(self.narrow_b, other, value[16:].as_signed())
        narrow = Mux(self.in_range, low, 0)
        left = self.parameters[54:58]
        limit = Signal(signed(17))
        shifted = Signal(signed(32))
        bounded = Signal(signed(17))
        m.d.comb += [
            limit.eq(self.limit),
            shifted.eq(narrow << left),
            bounded.eq(Mux(shifted > limit, limit, Mux(shifted < ~limit, ~limit, shifted))),
        ]
        one = Signal(signed(33), reset_less=True)
        total_of_two = Signal(signed(33))
        m.d.comb += total_of_two.eq(shifted + (high << self.parameters[58:62]))
        most, least = Signal(signed(32)), Signal(signed(32))
        with m.If(self.step_most):
            m.d.sync += one.eq(most)
        with m.Elif(self.step_least):
            m.d.sync += one.eq(least)
        with m.Elif(is_add):
            m.d.sync += one.eq(total_of_two)
        with m.Elif(is_norm):
            m.d.sync += one.eq(bounded)
        with m.Elif(is_softmax):
            m.d.sync += one.eq(value.as_signed())
        with m.Elif((self.op == VectorOp.COPY) | (self.op == VectorOp.LOOKUP)):
            m.d.sync += one.eq(byte)
        with m.Else():
            m.d.sync += one.eq(narrow)
        m.d.comb += self.aligned.eq(one)

        # Sum, minimum and maximum of pass 0.
        total = Signal(signed(32))
        with m.If(self.clear):
            m.d.sync += [total.eq(0), most.eq(-(1 << 31)), least.eq((1 << 31) - 1)]
        with m.Elif(valid[1] & (self.phase == 0)):
            m.d.sync += total.eq(total + one)
            with m.If(one > most):
                m.d.sync += most.eq(one)
            with m.If(one < least):
                m.d.sync += least.eq(one)

        # 2: channels · a − sum; value · gain + bias; maximum − score.
        two = Signal(signed(34), reset_less=True)
        multiplier = Signal(signed(17))
        addend = Signal(signed(33))
        m.d.comb += [
            multiplier.eq(Mux(is_affine, parameters[1][32:48].as_signed(), self.channels)),
            addend.eq(Mux(is_affine, parameters[1][:32].as_signed(), -total)),
        ]
        with m.If(is_norm | is_affine):
            m.d.sync += two.eq(one[:17].as_signed() * multiplier + addend)
        with m.Elif(is_softmax):
            m.d.sync += two.eq(most - one)
        with m.Else():
            m.d.sync += two.eq(one)

        # 3: LayerNorm: the common shift, k ≥ −14. Softmax: the distance, saturated to 16 bits. One shifter serves
        # both.
        down = Signal(signed(6))
        amount = Signal(6)
        three = Signal(signed(34), reset_less=True)
        m.d.comb += amount.eq(Mux(is_softmax, self.softmax_shift, down) + MAX_DISTANCE_SHIFT)
        twice = Signal(signed(51))
        m.d.comb += twice.eq(shift_with_half(two, amount, raised=MAX_DISTANCE_SHIFT))
        with m.If(is_norm):
            m.d.sync += three.eq(round_last_bit(twice))
        with m.Elif(is_softmax):
            m.d.sync += three.eq(rounded_distance(m, cut_distance(m, twice.as_unsigned())))
        with m.Else():
            m.d.sync += three.eq(two)

        # 4: LayerNorm: squares, or product with the factor. Softmax: product with log2 e.
        factor = Signal(ENTRY_BITS)
        reduced = Signal(signed(17))
        m.d.comb += reduced.eq(shift_round(three, self.squares_shift))
        squaring = is_norm & (self.phase == 1)
        left_side, right_side = Signal(signed(17)), Signal(signed(17))
        m.d.comb += [
            left_side.eq(Mux(squaring, reduced, three)),
            right_side.eq(Mux(squaring, reduced, Mux(is_norm, factor, OCTAVE_FACTOR))),
        ]
        four = Signal(signed(34), reset_less=True)
        with m.If(is_norm | is_softmax):
            m.d.sync += four.eq(left_side * right_side)
        with m.Else():
            m.d.sync += four.eq(three)
        squares = Signal(32)
        with m.If(self.clear):
            m.d.sync += squares.eq(0)
        with m.Elif(valid[4] & squaring):
            m.d.sync += squares.eq(squares + four)

        # 5: re-quantization, or softmax code.
        exponent = Signal(signed(6))
        shift = Signal(signed(7))
        m.d.comb += shift.eq(parameters[4][48:54].as_signed() + Mux(is_norm, exponent, 0))
        step = ShiftStage(16, -MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT)
        scaled = step.both(m, four, shift, narrow=self.planes[0])
        code, weight = self.softmax(m, four)
        row_sum = Signal(32)
        with m.If(self.clear):
            m.d.sync += row_sum.eq(0)
        with m.Elif(valid[4] & is_softmax & (self.phase == 1)):
            m.d.sync += row_sum.eq(row_sum + weight)
        flipped = Cat(four[:7], four[7] ^ self.flip)
        result = Signal(16, reset_less=True)
        m.d.sync += result.eq(Mux(is_softmax, code, Mux(self.op == VectorOp.COPY, flipped, scaled)))
        looked_up = ram(
            m,
            "table",
            8,
            256 * machine.table_groups,
            RamPorts(
                write_enable=self.table_enable,
                write_address=self.load_row,
                write_data=self.table_byte,
                read_enable=valid[4] & (self.op == VectorOp.LOOKUP),
                read_address=Cat(offset_binary(four), delayed(m, self.group, LANE_LATENCY, "group")),
            ),
        )
        output = Mux(
            self.op == VectorOp.LOOKUP, looked_up, Mux(self.op == VectorOp.SUM, self.column_sum, result)
        )
        stored = Mux(self.sum_valid, row_sum.word_select(self.sum_byte, 8), output)
        output_buffer(m, self, 16, depth, stored)
        self.scalars(m, two, down, squares, exponent, factor)
        return m

    def softmax(self, m: Module, product: Signal) -> tuple[Value, Value]:
        """Return the code of a distance and its weight in the row sum, from the distance times log2 e."""
        octaves = octaves_of(product)
        m.submodules.exp2 = table = exp2_table()
        read = table.read_port(domain="comb")
        m.d.comb += read.addr.eq(table_index(octaves))
        linear = linear_code(m, linear_twice(read.data, whole_octaves(octaves)))
        code, weight = Signal(8), Signal(16)
        m.d.comb += [
            code.eq(Mux(self.log2, log2_code(m, octaves), linear)),
            weight.eq(Mux(self.log2, times_weight(C(1), code[:4], self.guard), code)),
        ]
        return code, weight

    def scalars(
        self, m: Module, centred: Signal, down: Signal, squares: Signal, exponent: Signal, factor: Signal
    ) -> None:
        """Add the scalar steps of a LayerNorm: common shift, then exponent and table index of the squares."""
        largest = Signal(31)
        most_at, least_at = Signal(2), Signal(2)
        m.d.sync += [most_at.eq(Cat(self.step_most, most_at)), least_at.eq(Cat(self.step_least, least_at))]
        magnitude = Signal(signed(34))
        m.d.comb += magnitude.eq(Mux(least_at[1], -centred, centred))
        with m.If(self.clear):
            m.d.sync += largest.eq(0)
        with m.Elif((most_at[1] | least_at[1]) & (magnitude > largest)):
            m.d.sync += largest.eq(magnitude)
        with m.If(self.step_shift):
            m.d.sync += down.eq(common_shift(m, largest, self.epsilon_shift))
        total = Signal(TOTAL_BITS)
        epsilon = round_last_bit(epsilon_twice(self.epsilon, down, self.epsilon_shift))
        with m.If(self.step_total):
            m.d.sync += total.eq(positive_total(m, squares, epsilon))
        with m.If(self.step_exponent):
            m.d.sync += exponent.eq(root_exponent(m, total))
        with m.If(self.step_index):
            m.d.sync += self.index.eq(root_index(total, exponent))
        with m.If(self.factor_write):
            m.d.sync += factor.eq(self.factor)
