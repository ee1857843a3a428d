"""Load chunk: fetches weights, constants and pixels from the external memory."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, Kind, LoadTo


class PatchWalk:
    """Walks over the words that the runs of bytes of all patches touch: run by run, patch by patch.

    Attributes:
        at: Byte address of the first byte that the current word gives.
        count: Number of bytes that it gives.
        ends_patch: High if it is the last word of a patch.
        ends_patches: High if it is the last word of all.
    """

    def __init__(
        self, m: Module, name: str, op: dict[str, Signal], word: Value, run: Value, start: Value, advance: Value,
        bits: int,
    ) -> None:  # fmt: skip
        """Add the walk.

        Args:
            m: Module of the chunk.
            name: Prefix of its signals.
            op: Fields of the load.
            word: Address of the first word, in the cycle of ``start``.
            run: Bytes of a run, in the cycle of ``start``.
            start: High in the cycle in which the load starts.
            advance: High in cycles in which the walk goes on to the next word.
            bits: Logarithm of the bytes of a word.
        """

        def signal(what: str, width: int) -> Signal:
            return Signal(width, name=f"{name}_{what}")

        self.at, run_start, run_end = (signal(what, 37) for what in ("at", "run", "run_end"))
        patch, grid_row = (signal(what, 37) for what in ("patch", "grid_row"))
        run_at, column_at, row_at = signal("run_number", 8), signal("column", 12), signal("row", 12)
        word_end, self.count = signal("word_end", 37), signal("count", bits + 1)
        ends_run, self.ends_patch, ends_row, self.ends_patches = (
            signal(f"ends_{what}", 1) for what in ("run", "patch", "row", "patches")
        )
        m.d.comb += [
            word_end.eq(((self.at >> bits) + 1) << bits),
            ends_run.eq(word_end >= run_end),
            self.ends_patch.eq(ends_run & (run_at == op["runs"] - 1)),
            ends_row.eq(self.ends_patch & (column_at == op["columns"] - 1)),
            self.ends_patches.eq(ends_row & (row_at == op["rows"] - 1)),
            self.count.eq(Mux(ends_run, run_end, word_end) - self.at),
        ]

        def goto(first: Value, length: Value) -> list[Any]:
            return [self.at.eq(first), run_start.eq(first), run_end.eq(first + length)]

        with m.If(start):
            first = word << bits
            m.d.sync += [*goto(first, run), patch.eq(first), grid_row.eq(first)]
            m.d.sync += [run_at.eq(0), column_at.eq(0), row_at.eq(0)]
        with m.Elif(advance):
            m.d.sync += self.at.eq(word_end)
            with m.If(ends_run):
                m.d.sync += [*goto(run_start + op["run_step"], op["run"]), run_at.eq(run_at + 1)]
            with m.If(self.ends_patch):
                following = patch + op["column_step"]
                m.d.sync += [*goto(following, op["run"]), patch.eq(following)]
                m.d.sync += [run_at.eq(0), column_at.eq(column_at + 1)]
            with m.If(ends_row):
                following = grid_row + op["row_step"]
                m.d.sync += [*goto(following, op["run"]), patch.eq(following), grid_row.eq(following)]
                m.d.sync += [column_at.eq(0), row_at.eq(row_at + 1)]


class LoadChunk(wiring.Component):
    """Executes loads, one after the other.

    Weights go to the weight queue as far as it has room, so they arrive before the array needs them. The runs of
    bytes of a patch are aligned and joined to words. Throughput: one request per cycle. A load begins two cycles
    after the last answer of the load before it. Handshake: parameters of a LayerNorm wait for a free slot. Answers may
    take any number of cycles.
    """

    def __init__(self, machine: ChunkMachine) -> None:
        self.machine = machine
        lines = machine.lines
        super().__init__(
            {
                "queue_valid": In(1),
                "queue_ready": Out(1),
                "queue_word": In(DESCRIPTOR_BITS),
                "read_valid": Out(1),
                "read_ready": In(1),
                "read_address": Out(32),
                "answer_valid": In(1),
                "answer_data": In(8 * lines),
                "fifo_write": Out(1),
                "fifo_taken": In(1),
                "norm_slot_free": In(1),
                "norm_write": Out(1),
                "norm_ends": Out(1),
                "root_write": Out(1),
                "row": Out(16),
                "stream_write": Out(1),
                "stream_address": Out(16),
                "stream_data": Out(16 * lines),
                "patch_write": Out(1),
                "patch_address": Out(16),
                "patch_data": Out(8 * lines),
                "patch_words": Out(24),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the request side, the answer side, and the assembly of patches."""
        m = Module()
        machine, lines = self.machine, self.machine.lines
        bits = (lines - 1).bit_length()
        take = decoder(self.queue_word, Kind.LOAD)
        names = ("to", "base", "run", "runs", "columns", "rows", "run_step", "column_step", "row_step")
        op = {name: Signal(len(take(name)), name=f"op_{name}") for name in names}
        active, starting, requesting = Signal(), Signal(), Signal()
        address, left, to_come, row = Signal(32), Signal(24), Signal(24), Signal(16)
        room = Signal(range(machine.fifo_words + 1), init=machine.fifo_words)
        is_weights, is_patches = op["to"] == LoadTo.WEIGHTS, op["to"] == LoadTo.PATCHES
        asks, arrives, ends = Signal(), Signal(), Signal()

        walk = PatchWalk(m, "asked", op, take("address"), take("run"), starting, asks & is_patches, bits)
        level = Signal(range(3 * lines + 1), name="patch_level")

        # --- requests
        m.d.comb += [
            starting.eq(
                self.queue_valid
                & ~active
                & (level == 0)
                & ((take("to") != LoadTo.NORM_PARAMETERS) | self.norm_slot_free)
            ),
            self.queue_ready.eq(starting),
            self.read_valid.eq(requesting & (~is_weights | (room != 0))),
            self.read_address.eq(Mux(is_patches, walk.at >> bits, address)),
            asks.eq(self.read_valid & self.read_ready),
        ]
        m.d.sync += room.eq(room + self.fifo_taken - (asks & is_weights))
        with m.If(asks):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
            with m.If(Mux(is_patches, walk.ends_patches, left == 1)):
                m.d.sync += requesting.eq(0)
        with m.If(starting):
            m.d.sync += [signal.eq(take(name)) for name, signal in op.items()]
            m.d.sync += [active.eq(1), requesting.eq(1), address.eq(take("address")), left.eq(take("words"))]
            m.d.sync += [to_come.eq(take("words")), row.eq(0)]

        # --- answers
        plane = Signal(8 * lines)
        m.d.comb += [arrives.eq(self.answer_valid & active), ends.eq(arrives & (to_come == 1))]
        with m.If(arrives):
            m.d.sync += [to_come.eq(to_come - 1), row.eq(row + 1), plane.eq(self.answer_data)]
        with m.If(ends):
            m.d.sync += active.eq(0)
        m.d.comb += [
            self.row.eq(row),
            self.fifo_write.eq(arrives & is_weights),
            self.norm_write.eq(arrives & (op["to"] == LoadTo.NORM_PARAMETERS)),
            self.norm_ends.eq(ends & (op["to"] == LoadTo.NORM_PARAMETERS)),
            self.root_write.eq(arrives & (op["to"] == LoadTo.ROOTS)),
            # A word of the residual stream comes as two words, the low bytes first.
            self.stream_write.eq(arrives & (op["to"] == LoadTo.STREAM) & row[0]),
            self.stream_address.eq(op["base"] + row[1:]),
            self.stream_data.eq(
                Cat(
                    Cat(plane.word_select(line, 8), self.answer_data.word_select(line, 8))
                    for line in range(lines)
                )
            ),
        ]
        came = Signal()
        m.d.comb += came.eq(arrives & is_patches)
        answered = PatchWalk(m, "answered", op, take("address"), take("run"), starting, came, bits)
        self.assemble(m, op, answered, came, starting, level)
        return m

    def assemble(
        self,
        m: Module,
        op: dict[str, Signal],
        walk: "PatchWalk",
        arrives: Signal,
        starting: Signal,
        level: Signal,
    ) -> None:
        """Join the runs of each patch to words; the last word of a patch is filled with zeros.

        A word that arrives adds at most ``lines`` bytes, and the end of a patch rounds up to a whole word. A word is
        put out in every cycle in which one is whole, so three words of room are enough.
        """
        lines = self.machine.lines
        bits = (lines - 1).bit_length()
        take = decoder(self.queue_word, Kind.LOAD)
        room = 3 * lines
        held = Signal(8 * room)
        there, kept, filled, rounded = (
            Signal(),
            Signal(range(room + 1)),
            Signal(range(room + 1)),
            Signal(range(room + 1)),
        )
        piece, after = Signal(8 * lines), Signal(8 * room)
        mask = Cat((walk.count > byte).replicate(8) for byte in range(lines))
        m.d.comb += [
            # Pixels minus 128: the top bit is inverted.
            piece.eq(((self.answer_data ^ int("80" * lines, 16)) >> (walk.at[:bits] << 3)) & mask),
            there.eq(level >= lines),
            kept.eq(Mux(there, level - lines, level)),
            filled.eq(kept + Mux(arrives, walk.count, 0)),
            rounded.eq(((filled + (lines - 1)) >> bits) << bits),
            after.eq(Mux(there, held >> (8 * lines), held) | Mux(arrives, piece << (kept << 3), 0)),
        ]
        m.d.sync += [held.eq(after), level.eq(Mux(arrives & walk.ends_patch, rounded, filled))]
        # Word c of patch n goes to base + c · patches + n.
        words = Signal(16)
        row, group, chunk, patches = Signal(16), Signal(16), Signal(16), Signal(16)
        m.d.sync += [
            patches.eq((op["columns"] * op["rows"])[:16]),
            words.eq((op["run"] * op["runs"] + (lines - 1)) >> bits),
            self.patch_words.eq(self.patch_words + there),
        ]
        with m.If(starting):
            m.d.sync += [row.eq(take("base")), group.eq(0), chunk.eq(0)]
        with m.Elif(there):
            m.d.sync += [group.eq(group + patches), chunk.eq(chunk + 1)]
            with m.If(chunk == words - 1):
                m.d.sync += [group.eq(0), chunk.eq(0), row.eq(row + 1)]
        m.d.comb += [
            self.patch_write.eq(there),
            self.patch_address.eq(row + group),
            self.patch_data.eq(held[: 8 * lines]),
        ]
