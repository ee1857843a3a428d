"""Compiles an integer program for the chunk organisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from p2vit.hdl.chunks.compile.compiled import CompiledChunks, Part
from p2vit.hdl.chunks.compile.memories import Room
from p2vit.hdl.chunks.compile.packing import packed_parameters, packed_weights, weight_stream
from p2vit.hdl.chunks.machine import MAX_LEFT_SHIFT, SCORE_BITS, ChunkMachine
from p2vit.hdl.chunks.top.descriptor import Descriptor, Dest, Kind, LoadTo, Operand, Result
from p2vit.hdl.compile.errors import require, unfit
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.compile.plan import readers
from p2vit.hdl.compile.supported import require_supported
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
)
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.numerics.layernorm import squares_shift
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node

#: Parameters of a channel of the array, and of the LayerNorm: name → width, first bit. The hardware decodes the same.
ARRAY_PLACES = {"bias": (32, 0), "shift": (6, 32), "left_a": (4, 38), "left_b": (4, 42), "sum_shift": (4, 46)}
NORM_PLACES = {"bias": (32, 0), "gain": (16, 32), "gain_shift": (6, 48), "left": (4, 54), "shift": (5, 58)}
_LEVER = (
    "the chunk organisation executes ViT, DeiT and DINOv2 that select the class token; use the load-store machines "
    "('--hw rtl'), or cost the program on a modelled machine ('p2vit simulate --hw paper')"
)


@dataclass
class Place:
    """Where a tensor is on the chip, and what a reader waits for.

    Attributes:
        room: Memory.
        base: Address of channel group 0 of row 0.
        rows: Rows, which is also the distance of two channel groups.
        groups: Channel groups.
        source: Counter and memory for the array, if it can read the tensor.
        count: Count when the first word (or row) is written, less one.
        by_row: Whether the counter counts rows.
    """

    room: Room
    base: int
    rows: int
    groups: int
    source: Operand
    count: int
    by_row: bool = False
    readers: int = field(default=0)


def compile_chunks(program: IntegerProgram, machine: ChunkMachine) -> CompiledChunks:
    """Compile a program for a machine. The same inputs give the same descriptors and the same image.

    Raises:
        UnfitProgramError: The program does not fit the machine. The message names the layer, the limit and the lever.
    """
    return _Compiler(program, machine).run()


class _Compiler:
    def __init__(self, program: IntegerProgram, machine: ChunkMachine) -> None:
        self.program, self.machine, self.lines = program, machine, machine.lines
        self.by_name = {node.name: node for node in program.nodes}
        self.reads = readers(program)
        self.memory = MemoryImage(machine.lines)
        rooms = ("stream_words", "norm_words", "operand_words", "key_words", "score_words", "code_words")
        self.rooms = {name: Room(name, getattr(machine, name)) for name in rooms}
        self.places: dict[str, Place] = {}
        self.left: dict[str, int] = {}
        self.loads: list[Descriptor] = []
        self.descriptors: list[Descriptor] = []
        self.parts: list[Part] = []
        self.aliases: dict[str, tuple[str, int]] = {}
        self.constant_rows: dict[str, IntArray] = {}
        self.written = self.norm_rows = self.softmax_rows = 0
        self.roots: IntArray | None = None
        self.done: set[str] = set()
        self.logits = 0
        self.pixels = 0

    # --- helpers

    def groups_of(self, channels: int) -> int:
        return -(-channels // self.lines)

    def only_reader(self, name: str, kind: type) -> Node | None:
        """Return the only reader of a tensor if it has that operator."""
        found = self.reads[name]
        return found[0] if len(found) == 1 and isinstance(found[0].operator, kind) else None

    def place(self, node: str, room: str, rows: int, groups: int, source: Operand, *, count: int | None = None,
              by_row: bool = False) -> Place:  # fmt: skip
        """Allocate a tensor."""
        base = self.rooms[room].allocate(node, rows * groups)
        self.places[node] = Place(
            self.rooms[room], base, rows, groups, source, self.written if count is None else count, by_row
        )
        self.left[node] = len(self.reads[node])
        return self.places[node]

    def source(self, reader: Node, name: str, room: str) -> Place:
        """Return the place of an operand.

        Raises:
            UnfitProgramError: The tensor is not in the memory that the reader's chunk reads.
        """
        found = self.places.get(name)
        if found is None or found.room.name != room:
            raise unfit(
                reader.name, f"no chunk writes {name} where {type(reader.operator).__name__} reads it", _LEVER
            )
        return found

    def release(self, *names: str) -> None:
        """Count one reader of some tensors as placed, and free those without further readers."""
        for name in names:
            self.left[name] -= 1
            if self.left[name] == 0:
                place = self.places[name]
                place.room.free(place.base)

    def load(self, node: str, to: LoadTo, words: IntArray, base: int = 0) -> None:
        """Add a load of constant words."""
        self.load_from(
            node, {"to": to, "address": self.memory.constant(words), "words": len(words), "base": base}
        )

    def load_from(self, node: str, fields: Mapping[str, int]) -> None:
        """Add a load."""
        self.descriptors.append(Descriptor(Kind.LOAD, fields, node))

    def array(self, node: str, fields: Mapping[str, int]) -> None:
        """Add an operation of the array."""
        self.descriptors.append(Descriptor(Kind.ARRAY, fields, node))
        self.written += fields["groups"] * fields["tokens"]

    def operand(self, place: Place, first_group: int = 0) -> dict[str, int]:
        """Return the fields of the broadcast operand, from one of its channel groups on."""
        fields = {
            "operand": place.source,
            "base": place.base + first_group * place.rows,
            "stride": place.rows,
            "signed_operand": 1,
        }
        if place.source == Operand.PATCHES:
            return {**fields, "wait_base": place.count}
        if place.by_row:
            return {**fields, "wait_base": place.count + 1, "wait_token": 1}
        return {
            **fields,
            "wait_base": place.count + first_group * place.rows + 1,
            "wait_chunk": place.rows,
            "wait_token": 1,
        }

    # --- nodes

    def run(self) -> CompiledChunks:
        """Place every node in program order."""
        require_supported(self.program)
        shape = self.program.pixels.shape
        self.pixels = self.memory.reserve(-(-shape[0] * shape[1] * shape[2] // self.lines))
        for node in self.program.nodes:
            if node.name in self.done:
                continue
            self.done.add(node.name)
            match node.operator:
                case Patchify():
                    self.patches(node, node.operator)
                case Linear():
                    self.linear(node, node.operator)
                case LayerNorm():
                    self.layer_norm(node, node.operator)
                case Scores():
                    self.attention(node, node.operator)
                case SelectToken():
                    self.select(node, node.operator)
                case _:
                    raise unfit(
                        node.name, f"no chunk executes {type(node.operator).__name__} after {', '.join(node.inputs)}",
                        _LEVER,
                    )  # fmt: skip
        self.descriptors.append(Descriptor(Kind.END, {}))
        return CompiledChunks(
            self.program,
            self.machine,
            tuple(self.descriptors),
            self.memory.image(),
            self.pixels,
            self.logits,
            tuple(self.parts),
            dict(self.aliases),
            dict(self.constant_rows),
            {name: room.used for name, room in self.rooms.items()},
        )

    def tokens_fit(self, node: Node, rows: int) -> None:
        """Check the number of tokens."""
        require(
            rows <= self.machine.tokens, node.name, f"it has {rows} tokens; tokens is {self.machine.tokens}",
            f"raise tokens to {rows} or more",
        )  # fmt: skip

    def patches(self, node: Node, operator: Patchify) -> None:
        """Add the load that cuts the image into patches."""
        _, width, channels = self.program.pixels.shape
        rows, terms = self.program.tensors[node.name].shape
        size, lines = operator.patch_size, self.lines
        run, pitch = size * channels, width * channels
        groups = self.groups_of(terms)
        place = self.place(node.name, "operand_words", rows, groups, Operand.PATCHES, count=rows * groups)
        grid = width // size
        start = np.arange(rows) // grid * size * pitch + np.arange(rows) % grid * run
        begins = start[:, None] + np.arange(size) * pitch
        words = int(((begins + run - 1) // lines - begins // lines + 1).sum())
        self.load_from(
            node.name,
            {
                "to": LoadTo.PATCHES, "address": self.pixels, "words": words, "base": place.base, "run": run,
                "runs": size, "columns": grid, "rows": rows // grid, "run_step": pitch, "column_step": run,
                "row_step": size * pitch,
            },
        )  # fmt: skip
        self.parts.append(Part(node.name, "patch", rows * groups, rows, True, channels=terms))

    def linear(self, node: Node, operator: Linear) -> None:
        """Add a linear layer with the table, the sum or the token assembly that follows it."""
        name, lines = node.name, self.lines
        outputs, inputs = operator.weight.shape
        rows = self.program.tensors[name].shape[0]
        groups, chunks = self.groups_of(outputs), self.groups_of(inputs)
        self.tokens_fit(node, rows)
        least = int(operator.shift.min())
        require(
            least >= -MAX_LEFT_SHIFT,
            name,
            f"it shifts left by {-least} bits; the re-quantizer does at most {MAX_LEFT_SHIFT}",
            "use wider weights for this layer",
        )
        source_name = node.inputs[0]
        found = self.places.get(source_name)
        room = found.room.name if found and found.room.name == "norm_words" else "operand_words"
        source = self.source(node, source_name, room)
        fields: dict[str, int] = {
            "groups": groups, "chunks": chunks, "tokens": rows, **self.operand(source),
            "parameters": 1, "narrow": int(operator.output_bits == 8),
        }  # fmt: skip
        parameters: dict[str, IntArray | int] = {"bias": operator.bias, "shift": operator.shift}
        tables = None
        lookup, add = self.only_reader(name, Lookup), self.only_reader(name, Add)
        assemble = self.only_reader(name, AssembleTokens)
        following, first_row = next((n for n in (lookup, add, assemble) if n), None), 0
        if operator.output_bits == 32:
            fields |= self.external(node, groups, rows)
        elif following is None:
            attention = self.reads[name][0].operator if self.reads[name] else None
            keys = isinstance(attention, AttentionValues) or (
                isinstance(attention, Scores) and self.reads[name][0].inputs[1] == name
            )
            room = "key_words" if keys else "operand_words"
            place = self.place(name, room, rows, groups, Operand.OPERANDS)
            fields |= {
                "dest": Dest.KEYS if keys else Dest.OPERANDS,
                "dest_base": place.base,
                "dest_stride": rows,
            }
        elif lookup:
            tables = self.tables(lookup, groups)
            place = self.place(lookup.name, "operand_words", rows, groups, Operand.OPERANDS)
            fields |= {"dest": Dest.OPERANDS, "dest_base": place.base, "dest_stride": rows, "table": 1}
        elif add:
            fields |= self.sum_with(add, name, rows, groups)
            operator_add = add.operator
            assert isinstance(operator_add, Add)
            left, right = operator_add.left_a, operator_add.left_b
            if add.inputs[0] == name:
                left, right = right, left
            parameters |= {"left_a": left, "left_b": right, "sum_shift": operator_add.shift}
        else:
            assert assemble is not None
            first_row = self.assemble(node, assemble, fields, groups)
        if following:
            self.done.add(following.name)
        self.parts.append(Part(name, "result", groups * rows, rows, False, channels=outputs))
        written = following.name if following else name
        self.parts.append(
            Part(written, "written", groups * rows, rows, False, first_row=first_row, channels=outputs)
        )
        packed = packed_parameters(lines, outputs, ARRAY_PLACES, parameters)
        self.load(
            name, LoadTo.WEIGHTS, weight_stream(lines, packed, tables, packed_weights(lines, operator.weight))
        )
        self.array(name, fields)
        self.release(source_name)

    def external(self, node: Node, groups: int, rows: int) -> dict[str, int]:
        """Return the fields of a layer whose accumulators are the logits."""
        require(
            rows == 1 and not self.reads[node.name],
            node.name,
            f"it writes {rows} rows of accumulators",
            "the chunk organisation writes one row of logits to the external memory",
        )
        self.logits = self.memory.reserve(4 * groups)
        return {"result": Result.RAW, "dest": Dest.EXTERNAL, "dest_base": self.logits, "dest_stride": 4}

    def tables(self, lookup: Node, groups: int) -> IntArray:
        """Return the table of every group of channels.

        Raises:
            UnfitProgramError: Two tables meet within a group.
        """
        operator = lookup.operator
        assert isinstance(operator, Lookup)
        tables = np.atleast_2d(operator.table)
        width = self.program.tensors[lookup.name].shape[-1] // len(tables)
        require(
            len(tables) == 1 or width % self.lines == 0,
            lookup.name,
            f"a table serves {width} channels, which are no whole groups of {self.lines}",
            "use fewer lines",
        )
        return np.stack(
            [tables[group * self.lines // width if len(tables) > 1 else 0] for group in range(groups)]
        )

    def sum_with(self, add: Node, name: str, rows: int, groups: int) -> dict[str, int]:
        """Return the fields of a residual sum; the sum takes the place of the other operand if nobody else reads it."""
        other = next(one for one in add.inputs if one != name)
        held = self.source(add, other, "stream_words")
        operator = add.operator
        assert isinstance(operator, Add)
        fields = {"add": 1, "add_base": held.base, "narrow_sum": int(operator.output_bits == 8)}
        self.release(other)
        # A result is written after the number of the other operand was read, so both may share their words.
        place = self.place(add.name, "stream_words", rows, groups, Operand.OPERANDS)
        return {**fields, "dest": Dest.STREAM, "dest_base": place.base, "dest_stride": rows}

    def assemble(self, node: Node, assemble: Node, fields: dict[str, int], groups: int) -> int:
        """Add the load of prefix tokens and positions; return the number of prefix tokens."""
        operator, lines = assemble.operator, self.lines
        assert isinstance(operator, AssembleTokens)
        constants = np.concatenate([operator.prefix, operator.position])
        rows, channels = constants.shape
        self.tokens_fit(assemble, rows)
        place = self.place(assemble.name, "stream_words", rows, groups, Operand.OPERANDS)
        padded = np.zeros((rows, groups * lines), np.int16)
        padded[:, :channels] = constants
        words = padded.reshape(rows, groups, lines).swapaxes(0, 1).astype("<i2").view(np.uint8)
        planes = words.reshape(groups * rows, lines, 2).swapaxes(1, 2).reshape(-1, lines)
        self.load(assemble.name, LoadTo.STREAM, planes, place.base)
        prefix = len(operator.prefix)
        self.constant_rows[assemble.name] = operator.prefix
        at = place.base + prefix
        fields |= {
            "add": 1, "add_base": at, "narrow_sum": int(operator.output_bits == 8), "dest": Dest.STREAM,
            "dest_base": at, "dest_stride": rows,
        }  # fmt: skip
        return prefix

    def select(self, node: Node, operator: SelectToken) -> None:
        """Make the selected token another name of a row of the residual stream."""
        (name,) = node.inputs
        held = self.source(node, name, "stream_words")
        self.aliases[node.name] = (name, operator.index)
        self.places[node.name] = Place(
            held.room, held.base + operator.index, held.rows, held.groups, held.source, held.count
        )
        # The row is never freed: it is the last that the program reads of the residual stream.
        self.left[node.name] = 1 << 30

    def layer_norm(self, node: Node, operator: LayerNorm) -> None:
        """Add a LayerNorm, with the gain and bias that follow it."""
        (name,) = node.inputs
        held = self.source(node, name, "stream_words")
        rows, channels = self.program.tensors[node.name].shape
        groups = self.groups_of(channels)
        require(
            groups <= self.machine.row_words, node.name,
            f"rows have {groups} words; row_words is {self.machine.row_words}", f"raise row_words to {groups} or more",
        )  # fmt: skip
        affine_node = self.only_reader(node.name, Affine)
        affine = affine_node.operator if affine_node else None
        if operator.output_bits != 8 and not (isinstance(affine, Affine) and affine.output_bits == 8):
            raise unfit(node.name, "it puts out 16 bits, and no Affine layer makes 8 of them", _LEVER)
        if self.roots is None:
            self.roots = operator.table
            words = np.zeros((len(operator.table), self.lines), np.uint8)
            words[:, :2] = operator.table.astype("<u2").view(np.uint8).reshape(-1, 2)
            self.load(node.name, LoadTo.ROOTS, words)
        require(
            np.array_equal(self.roots, operator.table), node.name, "its table of reciprocal roots is another one",
            "all LayerNorms must be equally wide",
        )  # fmt: skip
        fields: dict[str, IntArray | int] = {"left": operator.input_shift, "shift": operator.shift}
        if isinstance(affine, Affine):
            fields |= {"gain": affine.gain, "bias": affine.bias, "gain_shift": affine.shift}
        packed = packed_parameters(self.lines, channels, NORM_PLACES, fields)
        self.load(node.name, LoadTo.NORM_PARAMETERS, packed.reshape(-1, self.lines))
        out = affine_node.name if affine_node else node.name
        place = self.place(out, "norm_words", rows, groups, Operand.NORM, count=self.norm_rows, by_row=True)
        source = self.by_name[self.aliases.get(name, (name, 0))[0]]
        source_rows = self.program.tensors[source.name].shape[0]
        total = self.places[source.name].count + groups * (
            source_rows - len(self.constant_rows.get(source.name, ()))
        )
        self.descriptors.append(
            Descriptor(
                Kind.NORM,
                {
                    "rows": rows, "words": groups, "tail": channels - (groups - 1) * self.lines,
                    "channels": channels, "base": held.base, "stride": held.rows, "dest_base": place.base,
                    "dest_stride": rows, "wait_base": total, "limit": (1 << (operator.input_bits - 1)) - 1,
                    "epsilon": operator.epsilon, "epsilon_shift": operator.epsilon_shift,
                    "squares_shift": squares_shift(channels), "wide": int(operator.output_bits == 16),
                    "affine": int(affine is not None),
                },
                node.name,
            )
        )  # fmt: skip
        self.norm_rows += rows
        self.parts.append(Part(node.name, "norm", rows * groups, rows, True, channels=channels))
        self.parts.append(Part(out, "affine", rows * groups, rows, True, channels=channels))
        if affine_node:
            self.done.add(affine_node.name)
        self.release(name)

    def attention(self, node: Node, operator: Scores) -> None:
        """Add the heads: scores, softmax and attention × V, with the scores of the next head before the values."""
        softmax_node = self.only_reader(node.name, Softmax)
        values_node = self.only_reader(softmax_node.name, AttentionValues) if softmax_node else None
        if softmax_node is None or values_node is None:
            raise unfit(node.name, "its scores do not go through a softmax to attention × V alone", _LEVER)
        values, softmax, lines = values_node.operator, softmax_node.operator, self.lines
        assert isinstance(values, AttentionValues)
        assert isinstance(softmax, Softmax)
        heads, width = operator.heads, operator.head_dim
        require(
            width % lines == 0, node.name, f"a head has {width} channels, which are no whole groups of {lines}",
            "use fewer lines",
        )  # fmt: skip
        require(
            width <= 1 << (SCORE_BITS - 15), node.name, f"a head has {width} channels",
            f"scores have {SCORE_BITS} bits, which hold heads of at most {1 << (SCORE_BITS - 15)} channels",
        )  # fmt: skip
        require(values.output_bits == 8, values_node.name, "it puts out 16 bits", _LEVER)
        q = self.source(node, node.inputs[0], "operand_words")
        k = self.source(node, node.inputs[1], "key_words")
        v = self.source(values_node, values_node.inputs[1], "key_words")
        _, queries, keys = self.program.tensors[node.name].shape
        key_groups, per_head = self.groups_of(keys), width // lines
        self.tokens_fit(node, queries)
        tail = keys - (key_groups - 1) * lines
        slots = [
            tuple(
                self.rooms[room].allocate(node.name, queries * key_groups)
                for room in ("score_words", "code_words")
            )
            for _ in range(min(heads, 2))
        ]
        out = self.place(values_node.name, "operand_words", queries, heads * per_head, Operand.OPERANDS)
        packed = packed_parameters(
            lines, heads * width, ARRAY_PLACES, {"shift": values.shift.astype(np.int64) + QUOTIENT_FRACTION}
        )
        form = {"log2": int(softmax.form == "log2"), "guard": values.guard}

        def scores(head: int) -> None:
            place = slots[head % 2][0]
            begins = self.written
            self.parts.append(
                Part(node.name, "result", key_groups * queries, queries, False, channels=keys, head=head)
            )
            self.parts.append(
                Part(node.name, "written", key_groups * queries, queries, False, channels=keys, head=head)
            )
            self.array(
                node.name,
                {
                    "groups": key_groups, "chunks": per_head, "tokens": queries,
                    **self.operand(q, head * per_head), "stored": 1,
                    "key_base": k.base + head * per_head * keys, "key_group": lines, "key_chunk": keys,
                    "key_tail": tail, "tail_of_groups": 1, "key_wait": k.count + (head + 1) * per_head * keys,
                    "result": Result.RAW, "dest": Dest.SCORES, "dest_base": place, "dest_stride": queries,
                },
            )  # fmt: skip
            self.descriptors.append(
                Descriptor(
                    Kind.SOFTMAX,
                    {
                        "rows": queries, "words": key_groups, "tail": tail, "base": place, "stride": queries,
                        "dest_base": slots[head % 2][1], "dest_stride": queries,
                        "wait_base": begins + (key_groups - 1) * queries + 1,
                        "shift": int(softmax.shift[head]), **form, "slot": head % 2,
                    },
                    softmax_node.name,
                )
            )  # fmt: skip
            self.parts.append(
                Part(
                    softmax_node.name,
                    "softmax",
                    key_groups * queries,
                    queries,
                    True,
                    channels=keys,
                    head=head,
                )
            )

        def attend(head: int) -> None:
            first = head * width
            beats = per_head * queries
            for stream in ("result", "written"):
                self.parts.append(
                    Part(values_node.name, stream, beats, queries, False, first_channel=first, channels=width)
                )
            self.load(
                values_node.name, LoadTo.WEIGHTS,
                weight_stream(lines, packed[head * per_head : (head + 1) * per_head]),
            )  # fmt: skip
            # A reader of the attention output waits for the last head; earlier heads were written before.
            out.count = self.written - head * per_head * queries
            self.array(
                values_node.name,
                {
                    "groups": per_head, "chunks": key_groups, "tokens": queries, "operand": Operand.CODES,
                    "base": slots[head % 2][1], "stride": queries, "wait_base": self.softmax_rows + 1,
                    "wait_token": 1, **form, "stored": 1, "by_lane": 1,
                    "key_base": v.base + head * per_head * keys, "key_group": keys, "key_chunk": lines,
                    "key_tail": tail, "key_wait": v.count + (head + 1) * per_head * keys, "parameters": 1,
                    "result": Result.QUOTIENT, "narrow": 1, "slot": head % 2, "dest": Dest.OPERANDS,
                    "dest_base": out.base + head * per_head * queries, "dest_stride": queries,
                },
            )  # fmt: skip
            self.softmax_rows += queries

        scores(0)
        for head in range(heads):
            if head + 1 < heads:
                scores(head + 1)
            attend(head)
        for place in slots:
            for room, at in zip(("score_words", "code_words"), place, strict=True):
                self.rooms[room].free(at)
        self.done |= {softmax_node.name, values_node.name}
        self.release(*node.inputs, values_node.inputs[1])
