"""One lane of the vector chunk: everything that happens to one token's numbers outside the array."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT
from p2vit.numerics.softmax import EXP2_TABLE, LOG2_E
from p2vit.rtl.top.bits import bit_length, requantized, round_right
from p2vit.rtl.top.bus import delayed, place
from p2vit.rtl.top.descriptor import VectorOp
from p2vit.rtl.top.machine import LANE_LATENCY, RtlMachine
from p2vit.rtl.top.primitives import ram


class VectorLane(wiring.Component):
    """A token's numbers, one per cycle, five stages: align, multiply-add, shift, multiply, re-quantize.

    Numbers and parameters arrive together with ``valid``; the engine says which pass over the row it is. LayerNorm:
    pass 0 gathers sum and extremes, pass 1 squares, pass 2 puts out; softmax: pass 0 the maximum, pass 1 codes and
    their sum. Between passes the engine steps the scalars. No handshake inside. Latency: 5. Throughput: one number per
    cycle.

    Args:
        machine: Sizes.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(self.ports(machine))

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Ports of a lane of that machine."""
        return {
            # Loading: a byte of a number, or an entry of the table.
            "load_enable": In(4),
            "load_slot": In(1),
            "load_row": In(16),
            "load_byte": In(8),
            "table_enable": In(1),
            "table_byte": In(8),
            # A read brings the number in the next cycle, together with its parameters.
            "read": In(1),
            "slot": In(1),
            "column": In(16),
            "parameter": In(64),
            "valid": In(1),
            "inside": In(1),
            "group": In(range(max(machine.table_groups, 2))),
            "clear": In(1),
            "phase": In(2),
            "op": In(3),
            "planes": In(3),
            "channels": In(16),
            "limit": In(16),
            "epsilon": In(30),
            "epsilon_shift": In(signed(6)),
            "squares_shift": In(4),
            "softmax_shift": In(signed(6)),
            "log2": In(1),
            "guard": In(4),
            "flip": In(1),
            "narrow_a": In(1),
            "narrow_b": In(1),
            # Scalar steps between passes, one strobe each.
            "step_most": In(1),
            "step_least": In(1),
            "step_shift": In(1),
            "step_total": In(1),
            "step_exponent": In(1),
            "step_index": In(1),
            "factor_write": In(1),
            "factor": In(15),
            "aligned": Out(signed(17)),
            "index": Out(10),
            # The output buffer: results, a column's sum over the lines, or a byte of the row's sum.
            "write": In(1),
            "write_slot": In(1),
            "write_column": In(16),
            "column_sum": In(16),
            "sum_byte": In(2),
            "sum_valid": In(1),
            "output_read": In(1),
            "output_slot": In(1),
            "output_column": In(16),
            "output_plane": In(1),
            "byte": Out(8),
        }

    def elaborate(self, platform: object) -> Module:
        """The stages in order, then the scalars."""
        m = Module()
        machine = self.machine
        depth = machine.vector_columns
        value = ram(
            m,
            "input_buffer",
            32,
            2 * depth,
            write_enable=self.load_enable,
            write_address=place(self.load_slot, self.load_row, depth),
            write_data=self.load_byte.replicate(4),
            read_enable=self.read,
            read_address=place(self.slot, self.column, depth),
        )
        is_norm = self.op == VectorOp.LAYERNORM
        is_softmax = self.op == VectorOp.SOFTMAX
        is_add = self.op == VectorOp.ADD
        is_affine = self.op == VectorOp.AFFINE

        # The column's parameters go along.
        parameters = [self.parameter]
        for stage in range(1, 5):
            following = Signal(64, name=f"parameter_{stage}", reset_less=True)
            m.d.sync += following.eq(parameters[-1])
            parameters.append(following)
        valid: list[Signal] = [self.valid]
        for stage in range(1, 5):
            following = Signal(name=f"valid_{stage}")
            m.d.sync += following.eq(valid[-1])
            valid.append(following)

        # 1: align.
        byte, other = value[:8].as_signed(), value[16:24].as_signed()
        low = Mux(self.narrow_a, byte, value[:16].as_signed())
        high = Mux(self.narrow_b, other, value[16:].as_signed())
        narrow = Mux(self.inside, low, 0)
        left = self.parameter[54:58]
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
        m.d.comb += total_of_two.eq(shifted + (high << self.parameter[58:62]))
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

        # Sums and extremes of pass 0.
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

        # 3: the common shift of a normalised token; the distance, held in 16 bits.
        down = Signal(signed(6))
        softmax_shift = self.softmax_shift
        amount = Signal(signed(6))
        three = Signal(signed(34), reset_less=True)
        m.d.comb += amount.eq(Mux(is_softmax, softmax_shift, down))
        # A left shift is at most 14 for a norm (k ≥ −14) and 15 for a softmax.
        lifted, rounded = Signal(signed(50)), Signal(signed(50))
        m.d.comb += [
            lifted.eq(two << Mux(amount < 0, (-amount)[:4], 0)),
            rounded.eq(round_right(lifted, Mux(amount < 0, 0, amount[:5]), 50)),
        ]
        with m.If(is_norm):
            m.d.sync += three.eq(rounded)
        with m.Elif(is_softmax):
            m.d.sync += three.eq(Mux(rounded > 65535, 65535, rounded))
        with m.Else():
            m.d.sync += three.eq(two)

        # 4: squares, times the factor, times log2 e.
        factor = Signal(15)
        reduced = Signal(signed(17))
        m.d.comb += reduced.eq(round_right(three, self.squares_shift, 17))
        squaring = is_norm & (self.phase == 1)
        left_side, right_side = Signal(signed(17)), Signal(signed(17))
        m.d.comb += [
            left_side.eq(Mux(squaring, reduced, three)),
            right_side.eq(Mux(squaring, reduced, Mux(is_norm, factor, LOG2_E >> 1))),
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

        # 5: re-quantize; codes of the softmax.
        exponent = Signal(signed(6))
        shift = Signal(signed(7))
        m.d.comb += shift.eq(parameters[4][48:54].as_signed() + Mux(is_norm, exponent, 0))
        scaled = requantized(m, four, shift, self.planes, "out")
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
            write_enable=self.table_enable,
            write_address=self.load_row,
            write_data=self.table_byte,
            read_enable=valid[4] & (self.op == VectorOp.LOOKUP),
            read_address=Cat(four[:7], ~four[7], delayed(m, self.group, LANE_LATENCY, "group")),
        )
        output = Mux(
            self.op == VectorOp.LOOKUP, looked_up, Mux(self.op == VectorOp.SUM, self.column_sum, result)
        )
        stored = ram(
            m,
            "output_buffer",
            16,
            2 * depth,
            write_enable=self.write,
            write_address=place(self.write_slot, self.write_column, depth),
            write_data=Mux(self.sum_valid, row_sum.word_select(self.sum_byte, 8), output),
            read_enable=self.output_read,
            read_address=place(self.output_slot, self.output_column, depth),
        )
        plane = Signal()
        with m.If(self.output_read):
            m.d.sync += plane.eq(self.output_plane)
        m.d.comb += self.byte.eq(stored.word_select(plane, 8))

        self.scalars(m, two, down, squares, exponent, factor)
        return m

    def softmax(self, m: Module, product: Signal) -> tuple[Signal, Signal]:
        """Code of a distance in octaves, and what it adds to the row's sum."""
        octaves = Signal(16)
        m.d.comb += octaves.eq(product[15:])
        m.submodules.exp2 = table = Memory(shape=16, depth=128, init=[int(entry) for entry in EXP2_TABLE])
        read = table.read_port(domain="comb")
        m.d.comb += read.addr.eq(octaves[4:11])
        mantissa = Signal(signed(17))
        m.d.comb += mantissa.eq(read.data)
        linear = round_right(mantissa, 7 + octaves[11:], 17)
        nearest = (octaves + 1024) >> 11
        code, weight = Signal(8), Signal(16)
        m.d.comb += code.eq(
            Mux(self.log2, Mux(nearest > 15, 15, nearest), Mux(linear > 255, 255, linear[:8]))
        )
        m.d.comb += weight.eq(
            Mux(self.log2, Mux(code[:4] > self.guard, 0, 1 << (self.guard - code[:4])[:4]), code)
        )
        return code, weight

    def scalars(
        self, m: Module, centred: Signal, down: Signal, squares: Signal, exponent: Signal, factor: Signal
    ) -> None:
        """Between the passes of a LayerNorm: the block's shift, then mantissa and exponent of the sum of squares."""
        largest = Signal(31)
        most_at, least_at = Signal(2), Signal(2)
        m.d.sync += [most_at.eq(Cat(self.step_most, most_at)), least_at.eq(Cat(self.step_least, least_at))]
        magnitude = Signal(signed(34))
        m.d.comb += magnitude.eq(Mux(least_at[1], -centred, centred))
        with m.If(self.clear):
            m.d.sync += largest.eq(0)
        with m.Elif((most_at[1] | least_at[1]) & (magnitude > largest)):
            m.d.sync += largest.eq(magnitude)
        wanted = Signal(signed(7))
        m.d.comb += wanted.eq(bit_length(m, largest, "largest_bits") - CENTRED_BITS)
        with m.If(self.step_shift):
            m.d.sync += down.eq(Mux(wanted > self.epsilon_shift, wanted, self.epsilon_shift))
        total = Signal(31)
        twice = Signal(8)
        epsilon = Signal(32)
        m.d.comb += [
            twice.eq((down - self.epsilon_shift) << 1),
            epsilon.eq(Mux(twice > 31, 0, round_right(Cat(self.epsilon, 0).as_signed(), twice[:5], 31))),
        ]
        sum_of_both = Signal(32)
        m.d.comb += sum_of_both.eq(squares + epsilon)
        with m.If(self.step_total):
            m.d.sync += total.eq(Mux(sum_of_both == 0, 1, sum_of_both))
        with m.If(self.step_exponent):
            m.d.sync += exponent.eq((bit_length(m, total, "total_bits") - 29) >> 1)
        mantissa = Signal(31)
        doubled = Signal(signed(7))
        m.d.comb += [
            doubled.eq(exponent << 1),
            mantissa.eq(Mux(exponent < 0, total << (-doubled)[:5], total >> doubled[:2])),
        ]
        with m.If(self.step_index):
            m.d.sync += self.index.eq(mantissa >> INDEX_SHIFT)
        with m.If(self.factor_write):
            m.d.sync += factor.eq(self.factor)
