"""The array: sequences groups, chunks and tokens, and drives the stages of all lines."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.chunks.machine import RESULT_LATENCY, ChunkMachine
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Operand, Result
from p2vit.hdl.chunks.top.feed import Feed
from p2vit.hdl.chunks.top.line import Line
from p2vit.hdl.chunks.top.walk import ArrayWalk
from p2vit.hdl.top.component import delay_line
from p2vit.numerics.attention_values import QUOTIENT_BITS


class ArrayChunk(wiring.Component):
    """Matrix products with the output channels (or keys) in the lines and the tokens in time.

    A block of ``lines`` · ``lines`` stationary numbers works on one operand of every token, one per cycle. The next
    block is loaded meanwhile. The accumulators of all tokens stay in the lines. The last block of a group of channels
    puts out one result per cycle, through re-quantization, table and residual sum, into the memory of its
    destination. Latency: ``RESULT_LATENCY`` cycles from an operand to the write of its result. Throughput: ``lines``
    squared products per cycle. Handshake: an operand waits until its counter says that it is written.
    """

    def __init__(self, machine: ChunkMachine) -> None:
        self.machine = machine
        lines = machine.lines
        super().__init__(
            {
                "queue_valid": In(1),
                "queue_ready": Out(1),
                "queue_word": In(DESCRIPTOR_BITS),
                "counts": In(24).array(4),
                "operand_address": Out(16),
                "operands": In(8 * lines).array(4),
                "reciprocal_address": Out(16),
                "reciprocal": In(16),
                "length": In(5),
                "stream_address": Out(16),
                "stream": In(16 * lines),
                "external_ready": In(1),
                "external_pending": Out(1),
                "write": Out(1),
                "write_dest": Out(3),
                "write_address": Out(32),
                "write_data": Out(32 * lines),
                "result_valid": Out(1),
                "result_data": Out(32 * lines),
                "written": Out(24),
                "busy": Out(1),
                "done": Out(1),
                # Feed
                "feed_valid": In(1),
                "feed_ready": Out(1),
                "feed_word": In(DESCRIPTOR_BITS),
                "fifo_valid": In(1),
                "fifo_ready": Out(1),
                "fifo_word": In(8 * lines),
                "key_address": Out(16),
                "key_word": In(8 * lines),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the walk, the wait, the delay lines of the controls, and the lines."""
        m = Module()
        machine, lines = self.machine, self.machine.lines
        m.submodules.feed = feed = Feed(machine)
        m.d.comb += [
            feed.queue_valid.eq(self.feed_valid),
            self.feed_ready.eq(feed.queue_ready),
            feed.queue_word.eq(self.feed_word),
            feed.written.eq(self.written),
            feed.fifo_valid.eq(self.fifo_valid),
            self.fifo_ready.eq(feed.fifo_ready),
            feed.fifo_word.eq(self.fifo_word),
            self.key_address.eq(feed.key_address),
            feed.key_word.eq(self.key_word),
        ]

        slots_full, slots_free = Signal(2), Signal(2, init=2)
        walk = ArrayWalk(m)
        m.d.comb += [
            walk.word.eq(self.queue_word),
            walk.valid.eq(self.queue_valid),
            self.queue_ready.eq(walk.ready),
        ]
        walk.build(m, list(self.counts), feed.full, slots_full, self.external_ready)
        works, swap = Signal(), Signal()
        m.d.comb += [
            works.eq(walk.issue & walk.works),
            self.busy.eq(works),
            feed.taken.eq(works & walk.first_token),
            self.operand_address.eq(walk.address),
        ]
        m.d.sync += swap.eq(feed.taken)

        # --- controls of the stages; element n is the value n cycles after the issue
        def late(value: Value, cycles: int, name: str) -> list[Value]:
            held = Signal(len(value), name=name)
            m.d.comb += held.eq(value)
            return delay_line(m, held, cycles, name, reset_less=True)

        valid = delay_line(m, works, 4, "valid")
        emits = delay_line(m, walk.emits, RESULT_LATENCY, "emits")
        operands = {
            name: late(walk.op[name], 2, f"late_{name}")
            for name in ("operand", "signed_operand", "log2", "guard", "pairs")
        }
        outputs = {name: late(value, RESULT_LATENCY, f"late_{name}") for name, value in walk.output.items()}
        tokens = late(walk.token[: (machine.tokens - 1).bit_length()], 4, "late_token")
        first_chunk, second = late(walk.begins, 4, "first_chunk"), late(walk.second, 4, "late_second")
        slots, dests = late(walk.slot, 10, "late_slot"), late(walk.dest, RESULT_LATENCY, "late_dest")
        adds, row = late(walk.add_from, 8, "late_add"), late(walk.row, 4, "late_row")
        releases = delay_line(m, walk.releases, RESULT_LATENCY, "releases")
        m.d.sync += [
            slots_full.eq(slots_full + feed.slot_full - walk.releases),
            slots_free.eq(slots_free + releases[-1] - feed.slot_full),
        ]
        m.d.comb += feed.slot_free.eq(slots_free != 0)
        operand = Signal(8 * lines, reset_less=True)
        with m.Switch(operands["operand"][1]):
            for source in Operand:
                with m.Case(source):
                    m.d.sync += operand.eq(self.operands[source])
        quotient = [kind == Result.QUOTIENT for kind in outputs["result"]]
        m.d.comb += [
            self.reciprocal_address.eq(Mux(outputs["slot"][4], row[4] + machine.tokens, row[4])),
            self.stream_address.eq(adds[8]),
        ]
        reciprocal = Signal(16, reset_less=True)
        m.d.sync += reciprocal.eq(self.reciprocal)
        down = Signal(6)
        m.d.comb += down.eq(self.length - QUOTIENT_BITS)

        # --- lines
        results, written = [], []
        for index in range(lines):
            line = Line(machine)
            m.d.comb += [
                line.load_line.eq(feed.load_lines[index]),
                line.load_lanes.eq(feed.load_lanes),
                line.load_word.eq(feed.load_word),
                line.load_byte.eq(feed.load_word.word_select(index, 8)),
                line.by_lane.eq(feed.by_lane),
                line.swap.eq(swap),
                line.parameter_planes.eq(feed.parameter_planes),
                line.table_write.eq(feed.table_write),
                line.load_slot.eq(feed.load_slot),
                line.table_row.eq(feed.table_row),
                line.operand_2.eq(operand),
                line.signed_2.eq(operands["signed_operand"][2]),
                line.log2_2.eq(operands["log2"][2]),
                line.pairs_2.eq(operands["pairs"][2]),
                line.guard_2.eq(operands["guard"][2]),
                line.token_3.eq(tokens[3]),
                line.valid_4.eq(valid[4]),
                line.first_4.eq(first_chunk[4]),
                line.second_4.eq(second[4]),
                line.token_4.eq(tokens[4]),
                line.slot_5.eq(slots[5]),
                line.biased_5.eq(outputs["parameters"][5] & ~quotient[5]),
                line.down_5.eq(down),
                line.reciprocal_6.eq(reciprocal),
                line.quotient_6.eq(quotient[6]),
                line.slot_7.eq(slots[7]),
                line.narrow_7.eq(outputs["narrow"][7]),
                line.raw_7.eq(outputs["result"][7] == Result.RAW),
                line.slot_8.eq(slots[8]),
                line.slot_9.eq(slots[9]),
                line.table_9.eq(outputs["table"][9]),
                line.add_9.eq(outputs["add"][9]),
                line.stream_9.eq(self.stream.word_select(index, 16)),
                line.slot_10.eq(slots[10]),
                line.add_10.eq(outputs["add"][10]),
                line.narrow_10.eq(outputs["narrow_sum"][10]),
            ]
            line.add_to(m, f"line_{index}")
            results.append(line.result)
            written.append(line.written)
        in_flight = Cat(*emits[1:])
        m.d.sync += self.written.eq(self.written + emits[-1])
        m.d.comb += [
            self.write.eq(emits[-1]),
            self.write_dest.eq(outputs["dest"][-1]),
            self.write_address.eq(dests[-1]),
            self.write_data.eq(Cat(*written)),
            self.result_valid.eq(emits[8]),
            self.result_data.eq(Cat(*results)),
            self.external_pending.eq(in_flight.any()),
            self.done.eq(walk.ended & ~in_flight.any()),
        ]
        return m
