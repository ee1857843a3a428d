"""Compiles an integer program for the chunk organisation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from p2vit.hdl.chunks.compile.attention import AttentionHeads
from p2vit.hdl.chunks.compile.compiled import CompiledChunks, Part, Stream
from p2vit.hdl.chunks.compile.packing import packed_parameters, packed_weights, weight_stream
from p2vit.hdl.chunks.compile.placing import ARRAY_PLACES, LEVER, NORM_PLACES, Place, Placing, results_of
from p2vit.hdl.chunks.machine import (
    MAX_LEFT_SHIFT,
    NORM_LATENCY,
    PARAMETER_WORDS,
    RESULT_LATENCY,
    SQUARES_LATENCY,
    STATISTICS_LATENCY,
    ChunkMachine,
)
from p2vit.hdl.chunks.top.descriptor import Descriptor, Dest, Kind, LoadTo, Operand, Result
from p2vit.hdl.compile.errors import require, unfit
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
)
from p2vit.numerics.layernorm import squares_shift
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node

#: Cycles that the LayerNorm of a tile takes beside those of its words: two starts, three passes, and the result's own.
NORM_DRAIN = 2 * (STATISTICS_LATENCY + SQUARES_LATENCY + NORM_LATENCY) + RESULT_LATENCY


def compile_chunks(program: IntegerProgram, machine: ChunkMachine) -> CompiledChunks:
    """Compile a program for a machine. The same inputs give the same descriptors and the same image.

    Raises:
        UnfitProgramError: The program does not fit the machine. The message names the layer, the limit and the lever.
    """
    return _Compiler(program, machine).run()


def flushed(descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """Decide for every operation with two results per step how its last second results are put out.

    The first block of the next operation does it if that has the same number of steps and another block, and needs
    none of these results. Otherwise the operation flushes them, which takes one cycle per step.
    """
    done, written = list(descriptors), 0
    for at, op in enumerate(descriptors):
        if op.kind != Kind.ARRAY:
            continue
        written += results_of(op)
        seconds = (
            op["tokens"] - op["second_short"]
            if op["log2"]
            else op["tokens"] * (op["pairs"] - op["second_short"])
        )
        if not (op["pairs"] or op["log2"]) or seconds <= 0:
            continue
        between = []
        for following in descriptors[at + 1 :]:
            if following.kind in (Kind.ARRAY, Kind.END):
                break
            between.append(following.kind)
        there = written - seconds
        needs = following["wait_base"] + following["wait_token"] * (following["tokens"] - 1)
        kept = (
            following.kind == Kind.ARRAY
            and Kind.NORM not in between
            and following["tokens"] == op["tokens"]
            and following["chunks"] > 1
            and (following["operand"] != Operand.OPERANDS or needs <= there)
            and following["key_wait"] <= there
        )
        if not kept:
            done[at] = replace(op, values={**op.values, "flush": 1})
    return tuple(done)


class _Compiler(Placing):
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
                    AttentionHeads(self, node).place()
                case SelectToken():
                    self.select(node, node.operator)
                case _:
                    raise unfit(
                        node.name, f"no chunk executes {type(node.operator).__name__} after {', '.join(node.inputs)}",
                        LEVER,
                    )  # fmt: skip
        self.descriptors.append(Descriptor(Kind.END, {}))
        return CompiledChunks(
            self.program,
            self.machine,
            flushed(self.descriptors),
            self.memory.image(),
            self.pixels,
            self.logits,
            tuple(self.parts),
            dict(self.aliases),
            dict(self.constant_rows),
            {name: room.used for name, room in self.rooms.items()},
        )

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
            "chunks": chunks, "parameters": 1, "narrow": int(operator.output_bits == 8),
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
        pairs = operator.weight_bits <= 4 and chunks > 1 and groups > 1
        each = 2 if pairs else 1
        if pairs:
            # A step has the results of two groups of channels.
            fields |= {
                "pairs": 1,
                "second_step": fields["dest_stride"],
                "dest_stride": 2 * fields["dest_stride"],
            }
        packed = packed_parameters(lines, outputs, ARRAY_PLACES, parameters)
        blocks = packed_weights(lines, operator.weight, pairs)
        written = following.name if following else name
        tiles = []
        for first_group, count, start, tokens in self.runs(
            source, source_name, add, len(blocks), chunks, rows
        ):
            tiles.append((start, tokens, self.written))
            own = slice(each * first_group, each * (first_group + count))
            stream = weight_stream(
                lines, packed[own], None if tables is None else tables[own],
                blocks[first_group : first_group + count], pairs,
            )  # fmt: skip
            if self.positions:
                # Before the last block of the first group: the array needs them with that block, and not earlier.
                early = PARAMETER_WORDS + (chunks - 1) * lines if chunks > 1 else 0
                if early:
                    self.load(name, LoadTo.WEIGHTS, stream[:early])
                self.descriptors.append(self.positions)
                stream, self.positions = stream[early:], None
            self.load(name, LoadTo.WEIGHTS, stream)
            single = pairs and groups % 2 and first_group + count == len(blocks)
            at = first_group * fields["dest_stride"] + start
            self.array(
                name,
                {
                    **fields,
                    **self.operand(source, first_row=start),
                    "groups": count,
                    "tokens": tokens,
                    "second_short": int(single),
                    "dest_base": fields["dest_base"] + at,
                    "add_base": fields["add_base"] + at if "add_base" in fields else 0,
                },
            )
            channel, channels = each * first_group * lines, (each * count - single) * lines
            beats, channels = channels // lines * tokens, min(channels, outputs - channel)
            shown: tuple[tuple[Stream, str, int], ...] = (
                ("result", name, start),
                ("written", written, start + first_row),
            )
            for stream_name, node_name, row in shown:
                self.parts.append(
                    Part(
                        node_name, stream_name, beats, tokens, False, first_row=row, first_channel=channel,
                        channels=channels,
                    )
                )  # fmt: skip
        if add or assemble:
            self.places[written].tiles = tuple((start + first_row, tokens, at) for start, tokens, at in tiles)
        self.release(source_name)

    def runs(
        self, source: Place, source_name: str, add: Node | None, groups: int, chunks: int, rows: int
    ) -> list[tuple[int, int, int, int]]:
        """Divide a layer into operations: first group, groups, first row, rows.

        With tiles of tokens, the layer before a LayerNorm is divided by rows, and the first groups of the first layer
        after it are. They last as long as the LayerNorm of the second tile.
        """
        whole = [(0, groups, 0, rows)]
        if self.machine.token_tiles == 1 or rows < 4 * self.lines:
            return whole
        first = -(-rows // 2)
        if add and any(isinstance(node.operator, LayerNorm) for node in self.reads[add.name]):
            return [(0, groups, 0, first), (0, groups, first, rows - first)]
        if len(source.tiles) > 1 and self.left[source_name] == len(self.reads[source_name]):
            lead = -(-((rows - first) * source.groups + NORM_DRAIN) // (chunks * first))
            if lead < groups:
                return [(0, lead, 0, first), (0, lead, first, rows - first), (lead, groups - lead, 0, rows)]
        return whole

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
        self.positions = Descriptor(
            Kind.LOAD,
            {
                "to": LoadTo.STREAM,
                "address": self.memory.constant(planes),
                "words": len(planes),
                "base": place.base,
            },
            assemble.name,
        )
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
            raise unfit(node.name, "it puts out 16 bits, and no Affine layer makes 8 of them", LEVER)
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
        out = affine_node.name if affine_node else node.name
        place = self.place(out, "norm_words", rows, groups, Operand.NORM, count=self.norm_rows, by_row=True)
        stream, selected = self.aliases.get(name, (name, 0))
        tiles = self.places[stream].tiles
        if rows == 1:
            tiles = ((0, 1, self.row_count(stream, selected)),)
        else:
            prefix = len(self.constant_rows.get(stream, ()))
            # Prefix tokens are constants; the first row waits as if they had been written before the others.
            tiles = tuple(
                (first - prefix * (first == prefix), count + prefix * (first == prefix),
                 at + (groups - 1) * count + 1 - prefix * (first == prefix))
                for first, count, at in tiles
            )  # fmt: skip
        if len(tiles) > 1:
            place.tiles = tiles
        for first, count, need in tiles:
            self.load(node.name, LoadTo.NORM_PARAMETERS, packed.reshape(-1, self.lines))
            self.descriptors.append(
                Descriptor(
                    Kind.NORM,
                    {
                        "rows": count, "words": groups, "tail": channels - (groups - 1) * self.lines,
                        "channels": channels, "base": held.base + first, "stride": held.rows,
                        "dest_base": place.base + first, "dest_stride": rows, "wait_base": need,
                        "limit": (1 << (operator.input_bits - 1)) - 1, "epsilon": operator.epsilon,
                        "epsilon_shift": operator.epsilon_shift, "squares_shift": squares_shift(channels),
                        "wide": int(operator.output_bits == 16), "affine": int(affine is not None),
                    },
                    node.name,
                )
            )  # fmt: skip
            owners: tuple[tuple[Stream, str], ...] = (("norm", node.name), ("affine", out))
            for trace, owner in owners:
                self.parts.append(
                    Part(owner, trace, count * groups, count, True, first_row=first, channels=channels)
                )
        self.norm_rows += rows
        if affine_node:
            self.done.add(affine_node.name)
        self.release(name)

    def row_count(self, stream: str, row: int) -> int:
        """Return the count of results when a row of the residual stream is written."""
        groups = self.places[stream].groups
        for first, count, at in self.places[stream].tiles:
            if first <= row < first + count:
                return at + (groups - 1) * count + row - first + 1
        return 0  # a prefix token, which is a constant
