"""Load engine: reads the external memory in order and writes every word to its buffer."""

from typing import ClassVar

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from p2vit.hdl.top.bus import SLOTTED, loaded_signature, queue_signature
from p2vit.hdl.top.component import MachineComponent
from p2vit.hdl.top.decode import decoder, field
from p2vit.hdl.top.descriptor import DESCRIPTOR_BITS, Dest, Kind
from p2vit.hdl.top.machine import IN_FLIGHT, RtlMachine


class LoadEngine(MachineComponent):
    """Executes loads, one after the other.

    Throughput: one request per cycle; the next load begins one cycle after the last request of the previous one.
    Handshake: a load waits for a buffer slot (``open``) and for the stores that it depends on (``after``). Answers
    may take any number of cycles. A gather uses one byte per request and assembles the bytes of all lines; it
    turns pixels into patches.
    """

    verilog_name: ClassVar[str] = "p2vit_load_engine"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports: descriptors, read side of the external memory, loaded words, and slot handshakes."""
        return {
            "queue": In(queue_signature()),
            "loaded": Out(loaded_signature(machine)),
            "read_valid": Out(1),
            "read_ready": In(1),
            "read_address": Out(32),
            "answer_valid": In(1),
            "answer_data": In(8 * machine.lines),
            "stores_done": In(24),
            "slots_free": In(8),
            "slots_open": Out(8),
            "slots_close": Out(8),
            "done": Out(1),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the request side and the answer side."""
        m = Module()
        machine = self.machine
        word = self.queue.word
        take = decoder(word, Kind.LOAD)

        # --- requests
        m.submodules.flight = flight = SyncFIFO(width=DESCRIPTOR_BITS, depth=IN_FLIGHT)
        active = Signal()
        gather = Signal()
        address, base, stride = Signal(32), Signal(32), Signal(32)
        inner, inner_left, outer_left = Signal(16), Signal(16), Signal(16)
        is_end = take("kind") == Kind.END
        free = Array(self.slots_free[i] for i in range(8))[take("dest")]
        ready = (self.stores_done >= take("after")) & ~active
        start = Signal()
        m.d.comb += [
            # The answers of a gather need their own address counter, so a gather begins when no load is outstanding.
            start.eq(
                self.queue.valid
                & ~is_end
                & ready
                & (free | ~take("open"))
                & flight.w_rdy
                & (~take("gather") | ~flight.r_rdy)
            ),
            self.queue.ready.eq(start | (self.queue.valid & is_end & ready)),
            flight.w_data.eq(word),
            flight.w_en.eq(start),
        ]
        for dest in SLOTTED:
            m.d.comb += self.slots_open[dest].eq(start & take("open") & (take("dest") == dest))
        with m.If(self.queue.valid & is_end & ready):
            m.d.sync += self.done.eq(1)
        m.submodules.walk = walk = GatherAddresses(machine.lines)
        m.d.comb += [walk.word.eq(word), walk.start.eq(start)]
        last = Signal()
        m.d.comb += [
            last.eq(Mux(gather, walk.last, (inner_left == 1) & (outer_left == 1))),
            self.read_valid.eq(active),
            self.read_address.eq(Mux(gather, walk.address, address)),
            walk.advance.eq(active & self.read_ready),
        ]
        with m.If(start):
            m.d.sync += [
                active.eq(1),
                gather.eq(take("gather")),
                address.eq(take("address")),
                base.eq(take("address")),
                stride.eq(take("stride")),
                inner.eq(take("inner")),
                inner_left.eq(take("inner")),
                outer_left.eq(take("outer")),
            ]
        with m.Elif(active & self.read_ready):
            m.d.sync += [address.eq(address + 1), inner_left.eq(inner_left - 1)]
            with m.If(inner_left == 1):
                m.d.sync += [
                    inner_left.eq(inner),
                    outer_left.eq(outer_left - 1),
                    address.eq(base + stride),
                    base.eq(base + stride),
                ]
            with m.If(last):
                m.d.sync += active.eq(0)

        # --- answers: the oldest load in flight gives their destination
        head = flight.r_data
        of = decoder(head, Kind.LOAD)
        row, part, inner_at, outer_at = Signal(16), Signal(8), Signal(16), Signal(16)
        slots = [Signal(name=f"slot_{dest.name.lower()}") for dest in Dest]
        dest = of("dest")
        matrix = (dest == Dest.ROWS) | (dest == Dest.WEIGHTS)
        parameters = (dest == Dest.COLUMN_PARAMETERS) | (dest == Dest.VECTOR_PARAMETERS)
        parts = Signal(8)
        with m.If(matrix):
            m.d.comb += parts.eq(machine.lanes)
        with m.Elif(parameters):
            m.d.comb += parts.eq(machine.parameter_words)
        with m.Elif(dest == Dest.VECTOR):
            m.d.comb += parts.eq(of("planes"))
        with m.Else():
            m.d.comb += parts.eq(1)
        step = Mux(of("nibbles"), 2, 1)
        m.submodules.answer_walk = answers = GatherAddresses(machine.lines)
        fresh = Signal(init=1)
        arrived = Signal()
        whole = Signal()
        m.d.comb += [
            answers.word.eq(head),
            answers.start.eq(fresh & flight.r_rdy),
            arrived.eq(self.answer_valid & flight.r_rdy),
            answers.advance.eq(arrived),
        ]
        # The bytes of a gathered column arrive one by one; lines without a patch stay zero.
        assembled = Signal(8 * machine.lines)
        merged = Signal(8 * machine.lines)
        picked = Signal(8)
        m.d.comb += picked.eq(self.answer_data.word_select(answers.byte, 8))
        m.d.comb += merged.eq(
            Cat(
                Mux(answers.line == line, picked, assembled.word_select(line, 8))
                for line in range(machine.lines)
            )
        )
        with m.If(fresh & flight.r_rdy & ~arrived):
            m.d.sync += [fresh.eq(0), assembled.eq(0)]
        with m.Elif(arrived):
            m.d.sync += assembled.eq(merged)
        m.d.comb += whole.eq(arrived & (~of("gather") | answers.last_line))
        inner_last, outer_last = inner_at == of("inner") - 1, outer_at == of("outer") - 1
        finished = Signal()
        m.d.comb += [
            finished.eq(whole & inner_last & outer_last),
            flight.r_en.eq(finished),
            self.loaded.valid.eq(whole),
            self.loaded.dest.eq(dest),
            self.loaded.slot.eq(Array(slots)[Mux(dest == Dest.LINE_PARAMETERS, Dest.ROWS, dest)]),
            self.loaded.row.eq(row),
            self.loaded.part.eq(Mux(dest == Dest.VECTOR, part + of("plane"), part)),
            self.loaded.nibbles.eq(of("nibbles")),
            self.loaded.data.eq(Mux(of("gather"), merged, self.answer_data)),
        ]
        with m.If(whole):
            m.d.sync += [part.eq(part + step), inner_at.eq(inner_at + 1)]
            with m.If(inner_last):
                m.d.sync += [inner_at.eq(0), outer_at.eq(outer_at + 1)]
            with m.If((part + step >= parts) | (matrix & inner_last)):
                m.d.sync += [part.eq(0), row.eq(row + 1)]
        closing = Mux(dest == Dest.LINE_PARAMETERS, Dest.ROWS, dest)
        for kind in Dest:
            m.d.comb += self.slots_close[kind].eq(finished & of("close") & (closing == kind))
        with m.If(finished):
            m.d.sync += [row.eq(0), part.eq(0), inner_at.eq(0), outer_at.eq(0), fresh.eq(1)]
            for kind in SLOTTED:
                if kind != Dest.TABLE:
                    with m.If(of("close") & (closing == kind)):
                        m.d.sync += slots[kind].eq(~slots[kind])
        return m


class GatherAddresses(wiring.Component):
    """Generates the addresses of a gather: for each pixel row of a patch, for each byte, for each line.

    An address is a word and a byte in that word. An addition carries into the word at ``lines`` bytes. Throughput: one
    address per cycle while ``advance`` is high.
    """

    def __init__(self, lines: int) -> None:
        self.lines = lines
        super().__init__(
            {
                "word": In(DESCRIPTOR_BITS),
                "start": In(1),
                "advance": In(1),
                "address": Out(32),
                "byte": Out(8),
                "line": Out(8),
                "last_line": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build three nested loops, each with its start address."""
        m = Module()
        names = (
            *("line_first", "line_end", "grid_column", "grid_width", "pitch_word", "pitch_byte", "wrap_word"),
            *("wrap_byte", "row_byte", "stride", "inner", "outer"),
        )
        values = {name: field(self.word, Kind.LOAD, name) for name in names}
        held = {name: Signal(len(value), name=f"held_{name}") for name, value in values.items()}
        column = Signal(12)
        inner_at, outer_at = Signal(16), Signal(16)
        starts = {
            name: (Signal(32, name=f"{name}_word"), Signal(8, name=f"{name}_byte"))
            for name in ("row", "column")
        }

        def add(
            m: Module, word: Signal, byte: Signal, more_words: Signal, more_bytes: Signal, name: str
        ) -> tuple:
            total = Signal(9, name=f"{name}_total")
            m.d.comb += total.eq(byte + more_bytes)
            over = total >= self.lines
            return word + more_words + over, Mux(over, total - self.lines, total)

        wraps = column == held["grid_width"] - 1
        next_line = add(
            m,
            self.address,
            self.byte,
            Mux(wraps, held["wrap_word"], held["pitch_word"]),
            Mux(wraps, held["wrap_byte"], held["pitch_byte"]),
            "line",
        )
        next_byte = add(m, *starts["column"], 0, 1, "next_byte")
        next_row = add(m, *starts["row"], held["stride"], held["row_byte"], "next_row")
        m.d.comb += [
            self.last_line.eq(self.line == held["line_end"] - 1),
            self.last.eq(self.last_line & (inner_at == held["inner"] - 1) & (outer_at == held["outer"] - 1)),
        ]
        with m.If(self.start):
            m.d.sync += [held[name].eq(value) for name, value in values.items()]
            first = (field(self.word, Kind.LOAD, "address"), field(self.word, Kind.LOAD, "byte"))
            for place in ((self.address, self.byte), *starts.values()):
                m.d.sync += [place[0].eq(first[0]), place[1].eq(first[1])]
            m.d.sync += [
                self.line.eq(values["line_first"]),
                column.eq(values["grid_column"]),
                inner_at.eq(0),
                outer_at.eq(0),
            ]
        with m.Elif(self.advance):
            m.d.sync += [
                self.line.eq(self.line + 1),
                column.eq(Mux(wraps, 0, column + 1)),
                self.address.eq(next_line[0]),
                self.byte.eq(next_line[1]),
            ]
            with m.If(self.last_line):
                m.d.sync += [
                    self.line.eq(held["line_first"]),
                    column.eq(held["grid_column"]),
                    inner_at.eq(inner_at + 1),
                    self.address.eq(next_byte[0]),
                    self.byte.eq(next_byte[1]),
                    starts["column"][0].eq(next_byte[0]),
                    starts["column"][1].eq(next_byte[1]),
                ]
                with m.If(inner_at == held["inner"] - 1):
                    m.d.sync += [inner_at.eq(0), outer_at.eq(outer_at + 1)]
                    for place in ((self.address, self.byte), *starts.values()):
                        m.d.sync += [place[0].eq(next_row[0]), place[1].eq(next_row[1])]
        return m
