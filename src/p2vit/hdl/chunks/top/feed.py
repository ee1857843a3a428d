"""Feed of the array: loads stationary weights, keys and values, and the parameters and tables of channels."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.chunks.machine import PARAMETER_WORDS, TABLE_ENTRIES, ChunkMachine
from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Kind

#: Fields of the descriptor that are registered for the duration of an operation.
FIELDS = (
    *("groups", "chunks", "stored", "by_lane", "key_base", "key_group", "key_chunk", "key_tail"),
    *("tail_of_groups", "parameters", "table", "pairs", "second_short"),
)


class Feed(wiring.Component):
    """Loads the next block of ``lines`` · ``lines`` stationary numbers while the array works with the current one.

    A block comes from the weight queue, or from the memory of keys and values. A word is one line's weights, or with
    ``by_lane`` one lane's. Lines or lanes beyond the last key get zeros. The parameters and the table of a group of
    channels follow its first block, and those of the second group of a pair its last block. Throughput: one word per
    cycle. Latency: two cycles from a word to ``full``. Handshake: a block waits until the array has taken the previous
    one; parameters wait for a free slot.
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
                "fifo_valid": In(1),
                "fifo_ready": Out(1),
                "fifo_word": In(8 * lines),
                "key_address": Out(16),
                "key_word": In(8 * lines),
                "slot_free": In(1),
                "slot_full": Out(1),
                "taken": In(1),
                "full": Out(1),
                "load_lines": Out(lines),
                "load_lanes": Out(lines),
                "load_word": Out(8 * lines),
                "by_lane": Out(1),
                "parameter_planes": Out(8),
                "table_write": Out(1),
                "load_slot": Out(1),
                "table_row": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the walk over groups and chunks, and the stage that hands a word to the lines."""
        m = Module()
        lines = self.machine.lines
        take = decoder(self.queue_word, Kind.ARRAY)
        op = {name: Signal(len(take(name)), name=f"op_{name}") for name in FIELDS}
        group, chunk, step = Signal(12), Signal(12), Signal(range(max(lines, TABLE_ENTRIES // lines, 8)))
        group_address, chunk_address, address = Signal(16), Signal(16), Signal(16)
        fires, last = Signal(), Signal()
        # The word of a step reaches the lines a cycle later.
        kind, at, zero, stored, word = Signal(2), Signal(len(step)), Signal(), Signal(), Signal(8 * lines)
        none, is_block, is_parameter, is_table = range(4)
        last_group, last_chunk = group == op["groups"] - 1, chunk == op["chunks"] - 1
        # A group of pairs has second parameters, after its last block; a single last group has none.
        has_second = op["pairs"] & ~(op["second_short"] & last_group)
        over = Signal()
        ends = Mux(op["tail_of_groups"], last_group, last_chunk)
        m.d.sync += [kind.eq(none), at.eq(step), word.eq(self.fifo_word)]
        m.d.sync += [stored.eq(0), zero.eq(0)]
        m.d.comb += [
            self.key_address.eq(address),
            self.load_word.eq(Mux(zero, 0, Mux(stored, self.key_word, word))),
            self.table_row.eq(at),
        ]
        by_lane, slot = Signal(), Signal()
        m.d.sync += by_lane.eq(op["by_lane"])
        m.d.comb += [self.by_lane.eq(by_lane), self.load_slot.eq(slot)]
        with m.If(kind == is_block):
            m.d.comb += [
                self.load_lanes.eq(Mux(by_lane, 1 << at, (1 << lines) - 1)),
                self.load_lines.eq(1 << at),
            ]
        with m.If(kind == is_parameter):
            m.d.comb += self.parameter_planes.eq(1 << at)
        m.d.comb += self.table_write.eq(kind == is_table)
        block_done, slot_done, slot_ends = Signal(), Signal(), Signal()
        m.d.sync += [block_done.eq(0), slot_ends.eq(0)]
        m.d.comb += [self.slot_full.eq(slot_done), slot_done.eq(slot_ends)]
        with m.If(block_done):
            m.d.sync += self.full.eq(1)
        with m.Elif(self.taken):
            m.d.sync += self.full.eq(0)
        with m.If(slot_done):
            m.d.sync += slot.eq(~slot)

        pending = Signal()  # the last word of a block is on its way to the lines
        m.d.comb += pending.eq(block_done)
        with m.FSM():
            with m.State("IDLE"), m.If(self.queue_valid & (self.written >= take("key_wait"))):
                m.d.comb += self.queue_ready.eq(1)
                m.d.sync += [signal.eq(take(name)) for name, signal in op.items()]
                m.d.sync += [group.eq(0), chunk.eq(0), step.eq(0)]
                m.d.sync += [
                    register.eq(take("key_base")) for register in (group_address, chunk_address, address)
                ]
                m.next = "BLOCK"
            with m.State("PARAMETERS"):
                m.d.comb += [
                    fires.eq(self.fifo_valid & self.slot_free & ~slot_done),
                    self.fifo_ready.eq(fires),
                    last.eq(step == PARAMETER_WORDS - 1),
                ]
                with m.If(fires):
                    m.d.sync += [kind.eq(is_parameter), step.eq(step + 1)]
                    with m.If(last):
                        m.d.sync += [step.eq(0), slot_ends.eq(~op["table"])]
                        with m.If(op["table"]):
                            m.next = "TABLE"
                        with m.Elif(over):
                            m.next = "IDLE"
                        with m.Else():
                            m.next = "BLOCK"
            with m.State("TABLE"):
                m.d.comb += [
                    fires.eq(self.fifo_valid),
                    self.fifo_ready.eq(fires),
                    last.eq(step == TABLE_ENTRIES // lines - 1),
                ]
                with m.If(fires):
                    m.d.sync += [kind.eq(is_table), step.eq(step + 1)]
                    with m.If(last):
                        m.d.sync += [step.eq(0), slot_ends.eq(1)]
                        with m.If(over):
                            m.next = "IDLE"
                        with m.Else():
                            m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.sync += [
                    stored.eq(op["stored"]),
                    zero.eq(op["stored"] & ends & (step >= op["key_tail"])),
                ]
                m.d.comb += [
                    fires.eq((op["stored"] | self.fifo_valid) & ~self.full & ~pending),
                    self.fifo_ready.eq(fires & ~op["stored"]),
                    last.eq(step == lines - 1),
                ]
                with m.If(fires):
                    m.d.sync += [kind.eq(is_block), step.eq(step + 1), address.eq(address + 1)]
                    with m.If(last):
                        m.d.sync += [step.eq(0), block_done.eq(1), chunk.eq(chunk + 1)]
                        m.d.sync += [
                            chunk_address.eq(chunk_address + op["key_chunk"]),
                            address.eq(chunk_address + op["key_chunk"]),
                        ]
                        with m.If(last_chunk):
                            m.d.sync += [chunk.eq(0), group.eq(group + 1)]
                            m.d.sync += [
                                register.eq(group_address + op["key_group"])
                                for register in (group_address, chunk_address, address)
                            ]
                        m.d.sync += over.eq(last_chunk & last_group)
                        with m.If(op["parameters"] & ((chunk == 0) | (last_chunk & has_second))):
                            m.next = "PARAMETERS"
                        with m.Elif(last_chunk & last_group):
                            m.next = "IDLE"
        return m
