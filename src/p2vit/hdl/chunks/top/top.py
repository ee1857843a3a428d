"""Top module of the chunk organisation: queues, chunks, and the memories between them."""

from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from p2vit.hdl.chunks.machine import QUEUE_DEPTH, SCORE_BITS, ChunkMachine
from p2vit.hdl.chunks.top.array import ArrayChunk
from p2vit.hdl.chunks.top.component import ChunkComponent
from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Dest, Kind, Operand
from p2vit.hdl.chunks.top.line import Line
from p2vit.hdl.chunks.top.load import LoadChunk
from p2vit.hdl.chunks.top.norm import NormChunk
from p2vit.hdl.chunks.top.queue import word_queue
from p2vit.hdl.chunks.top.softmax import SoftmaxChunk
from p2vit.hdl.top.primitives import RamPorts, ram


class ChunkAccelerator(ChunkComponent):
    """Executes a descriptor stream; all tensors between pixels and logits stay on the chip.

    Every memory has one chunk that writes it and one that reads it, so no access waits for another. Handshake:
    ``descriptor`` is a ready/valid stream. ``memory`` may refuse any request and delay any answer. ``done`` rises
    after END, when the logits are written. The trace ports show every result; they may stay open.
    """

    verilog_name: ClassVar[str] = "p2vit_chunk_machine"

    @staticmethod
    def ports(machine: ChunkMachine) -> dict[str, wiring.Member]:
        """Return the ports: descriptors, external memory, status, and traces."""
        lines = machine.lines
        return {
            "descriptor_valid": In(1),
            "descriptor_ready": Out(1),
            "descriptor_data": In(DESCRIPTOR_BITS),
            "memory_read_valid": Out(1),
            "memory_read_ready": In(1),
            "memory_read_address": Out(32),
            "memory_answer_valid": In(1),
            "memory_answer_data": In(8 * lines),
            "memory_write_valid": Out(1),
            "memory_write_ready": In(1),
            "memory_write_address": Out(32),
            "memory_write_data": Out(8 * lines),
            "array_busy": Out(1),
            "done": Out(1),
            "result_valid": Out(1),
            "result_data": Out(32 * lines),
            "written_valid": Out(1),
            "written_data": Out(32 * lines),
            "norm_valid": Out(1),
            "norm_data": Out(16 * lines),
            "affine_data": Out(8 * lines),
            "softmax_valid": Out(1),
            "softmax_data": Out(8 * lines),
            "patch_valid": Out(1),
            "patch_data": Out(8 * lines),
        }

    def separate_modules(self) -> dict[str, ChunkComponent]:
        """Return the other modules of the design, by Verilog name. Each is written once."""
        return {Line.verilog_name: Line(self.machine)}

    def elaborate(self, platform: object) -> Module:
        """Build the queues, the chunks and the memories."""
        m = Module()
        machine, lines = self.machine, self.machine.lines
        m.submodules.load = load = LoadChunk(machine)
        m.submodules.array = array = ArrayChunk(machine)
        m.submodules.norm = norm = NormChunk(machine)
        m.submodules.softmax = softmax = SoftmaxChunk(machine)
        self.dispatch(m, load, array, norm, softmax)

        # --- external memory
        m.d.comb += [
            self.memory_read_valid.eq(load.read_valid & ~ResetSignal()),
            load.read_ready.eq(self.memory_read_ready),
            self.memory_read_address.eq(load.read_address),
            load.answer_valid.eq(self.memory_answer_valid),
            load.answer_data.eq(self.memory_answer_data),
        ]
        there, word, _ = word_queue(
            m,
            "weight_queue",
            8 * lines,
            machine.fifo_words,
            load.fifo_write,
            load.answer_data,
            array.fifo_ready,
        )
        m.d.comb += [
            array.fifo_valid.eq(there),
            array.fifo_word.eq(word),
            load.fifo_taken.eq(array.fifo_ready),
            load.norm_slot_free.eq(norm.slot_free),
            norm.load_parameters.eq(load.norm_write),
            norm.load_root.eq(load.root_write),
            norm.load_row.eq(load.row),
            norm.load_word.eq(load.answer_data),
            norm.load_ends.eq(load.norm_ends),
        ]

        # --- memories on the chip: one writer and one reader each
        results = [array.write_data.word_select(line, 32) for line in range(lines)]
        bytes_of, pairs_of = Cat(value[:8] for value in results), Cat(value[:16] for value in results)

        def writes(dest: Dest) -> Value:
            return array.write & (array.write_dest == dest)

        def memory(
            name: str, width: int, depth: int, writer: tuple[Value, Value, Value], address: Value
        ) -> Signal:
            enable, at, data = writer
            return ram(m, name, width, depth, RamPorts(enable, at, data, Const(1), address))

        # Two chunks read the residual stream at the same time, so it has two copies.
        for name, address, numbers in (
            ("stream_memory", array.stream_address, array.stream),
            ("stream_copy", norm.address, norm.numbers),
        ):
            copy = memory(
                name, 16 * lines, machine.stream_words,
                (
                    writes(Dest.STREAM) | load.stream_write,
                    Mux(load.stream_write, load.stream_address, array.write_address),
                    Mux(load.stream_write, load.stream_data, pairs_of),
                ),
                address,
            )  # fmt: skip
            m.d.comb += numbers.eq(copy)
        operands = memory(
            "operand_memory", 8 * lines, machine.operand_words,
            (
                writes(Dest.OPERANDS) | load.patch_write,
                Mux(load.patch_write, load.patch_address, array.write_address),
                Mux(load.patch_write, load.patch_data, bytes_of),
            ),
            array.operand_address,
        )  # fmt: skip
        normalised = memory(
            "norm_memory", 8 * lines, machine.norm_words, (norm.write, norm.write_address, norm.write_data),
            array.operand_address,
        )  # fmt: skip
        low_codes = Cat(softmax.write_data.word_select(line, 8)[:4] for line in range(lines))
        halves = [
            memory(
                f"code_memory_{half}", 4 * lines, machine.code_words,
                (softmax.write_halves[half], softmax.write_address, data), array.operand_address,
            )
            for half, data in enumerate((low_codes, softmax.high_codes))
        ]  # fmt: skip
        codes = Signal(8 * lines)
        m.d.comb += codes.eq(Cat(Cat(half.word_select(line, 4) for half in halves) for line in range(lines)))
        keys = memory(
            "key_memory", 8 * lines, machine.key_words, (writes(Dest.KEYS), array.write_address, bytes_of),
            array.key_address,
        )  # fmt: skip
        scores = memory(
            "score_memory", SCORE_BITS * lines, machine.score_words,
            (writes(Dest.SCORES), array.write_address, Cat(value[:SCORE_BITS] for value in results)),
            softmax.address,
        )  # fmt: skip
        row_sums = memory(
            "reciprocals", 21, 2 * machine.tokens,
            (softmax.reciprocal_write, softmax.reciprocal_address, Cat(softmax.reciprocal, softmax.length)),
            array.reciprocal_address,
        )  # fmt: skip
        m.d.comb += [
            array.key_word.eq(keys),
            softmax.scores.eq(scores),
            Cat(array.reciprocal, array.length).eq(row_sums),
            norm.written.eq(array.written),
            softmax.written.eq(array.written),
        ]
        for source, word, count in (
            (Operand.NORM, normalised, norm.rows_done),
            (Operand.OPERANDS, operands, array.written),
            (Operand.CODES, codes, softmax.rows_done),
            (Operand.PATCHES, operands, load.patch_words),
        ):
            m.d.comb += [array.operands[source].eq(word), array.counts[source].eq(count)]
        self.external(m, array)
        m.d.comb += [
            self.array_busy.eq(array.busy),
            self.result_valid.eq(array.result_valid),
            self.result_data.eq(array.result_data),
            self.written_valid.eq(array.write),
            self.written_data.eq(array.write_data),
            self.norm_valid.eq(norm.write),
            self.norm_data.eq(norm.normalised),
            self.affine_data.eq(norm.write_data),
            self.softmax_valid.eq(softmax.write),
            self.softmax_data.eq(softmax.write_data),
            self.patch_valid.eq(load.patch_write),
            self.patch_data.eq(load.patch_data),
        ]
        return m

    def dispatch(
        self, m: Module, load: LoadChunk, array: ArrayChunk, norm: NormChunk, softmax: SoftmaxChunk
    ) -> None:
        """Add the queues. A descriptor of the array goes to the array and to its feed."""
        waiting, word = Signal(), Signal(DESCRIPTOR_BITS)
        kind = decoder(word, Kind.LOAD)("kind")
        is_array = kind == Kind.ARRAY
        queues = {}
        for name, here in (
            ("load", kind == Kind.LOAD),
            ("array", is_array | (kind == Kind.END)),
            ("feed", is_array),
            ("norm", kind == Kind.NORM),
            ("softmax", kind == Kind.SOFTMAX),
        ):
            queue = SyncFIFO(width=DESCRIPTOR_BITS, depth=QUEUE_DEPTH)
            m.submodules[f"{name}_queue"] = queue
            queues[name] = (queue, here)
        # A descriptor for two queues needs room in both.
        refused = Cat(here & ~queue.w_rdy for queue, here in queues.values()).any()
        accepted, taken = Signal(), Signal()
        m.d.comb += [accepted.eq(waiting & ~refused), taken.eq(~waiting | accepted)]
        for queue, here in queues.values():
            m.d.comb += [queue.w_data.eq(word), queue.w_en.eq(accepted & here)]
        m.d.comb += self.descriptor_ready.eq(taken & ~ResetSignal())
        with m.If(taken):
            m.d.sync += [waiting.eq(self.descriptor_valid), word.eq(self.descriptor_data)]
        for name, chunk in (("load", load), ("array", array), ("norm", norm), ("softmax", softmax)):
            queue = queues[name][0]
            m.d.comb += [
                chunk.queue_valid.eq(queue.r_rdy),
                chunk.queue_word.eq(queue.r_data),
                queue.r_en.eq(chunk.queue_ready),
            ]
        queue = queues["feed"][0]
        m.d.comb += [
            array.feed_valid.eq(queue.r_rdy),
            array.feed_word.eq(queue.r_data),
            queue.r_en.eq(array.feed_ready),
        ]

    def external(self, m: Module, array: ArrayChunk) -> None:
        """Add the write side of the external memory: the four byte planes of a result, low bytes first."""
        lines = self.machine.lines
        busy, plane, address = Signal(), Signal(2), Signal(32)
        held = Signal(32 * lines)
        begins = array.write & (array.write_dest == Dest.EXTERNAL)
        with m.If(begins):
            m.d.sync += [busy.eq(1), plane.eq(0), address.eq(array.write_address), held.eq(array.write_data)]
        with m.Elif(busy & self.memory_write_ready):
            m.d.sync += [plane.eq(plane + 1), address.eq(address + 1)]
            with m.If(plane == 3):
                m.d.sync += busy.eq(0)
        m.d.comb += [
            self.memory_write_valid.eq(busy & ~ResetSignal()),
            self.memory_write_address.eq(address),
            self.memory_write_data.eq(
                Cat(held.word_select(line, 32).word_select(plane, 8) for line in range(lines))
            ),
            array.external_ready.eq(~busy & ~array.external_pending),
            self.done.eq(array.done & ~busy),
        ]
