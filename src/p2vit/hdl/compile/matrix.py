"""Compiles nodes for the array: linear layers, scores, attention × V."""

from collections.abc import Iterator

import numpy as np

from p2vit.hdl.compile.emitter import Emitter, Region
from p2vit.hdl.compile.errors import require
from p2vit.hdl.compile.layout import TensorLayout, column_parameters, pack_columns, pack_nibbles
from p2vit.hdl.top.descriptor import Dest, Mode, Source
from p2vit.hdl.top.machine import LINE_PARAMETER_WORDS, MAX_LEFT_SHIFT
from p2vit.numerics import AttentionValues, Linear, Scores
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.program.graph import Node

#: One of several lookup tables serves a multiple of this many columns.
TABLE_COLUMNS = 64


class MatrixEmitter:
    """Emits the jobs of nodes that are matrix products.

    Args:
        emit: Emitter that collects the jobs.
    """

    def __init__(self, emit: Emitter) -> None:
        self.emit = emit
        self.machine = emit.machine

    def terms(self, node: str, terms: int) -> dict[str, int]:
        """Compute the number of chunks of ``lanes`` terms of a row, and the terms of the last chunk.

        Raises:
            UnfitProgramError: The row is longer than the row buffer or the weight buffer allows.
        """
        machine = self.machine
        chunks = -(-terms // machine.lanes)
        require(terms < 1 << 16, node, f"rows have {terms} terms", "a descriptor counts up to 65535")
        require(
            chunks <= machine.row_rows,
            node,
            f"rows have {terms} terms; a line holds row_rows × lanes = {machine.longest_row}",
            f"raise row_rows to {chunks} or more",
        )
        require(
            chunks <= machine.weight_rows,
            node,
            f"{machine.lines} columns of {terms} terms take {chunks} rows of the weight buffer; "
            f"it has {machine.weight_rows}",
            f"raise weight_rows to {chunks} or more",
        )
        return {"chunks": chunks, "tail": terms - (chunks - 1) * machine.lanes}

    def tile(self, chunks: int, columns: int, pairs: int = 1) -> int:
        """Return the columns per tile: whole column groups that fit the weight, output and parameter buffers.

        Args:
            chunks: Chunks of ``lanes`` terms of a row.
            columns: Columns of the whole product.
            pairs: 2 if a weight byte holds the 4-bit weights of two columns.
        """
        machine = self.machine
        group = pairs * machine.lines
        most = min(machine.weight_rows // chunks * group, machine.columns // group * group)
        # Lookup tables serve groups of 64 columns. If tiles end with such a group, a table can follow tile by tile.
        if most > TABLE_COLUMNS and TABLE_COLUMNS % group == 0:
            most -= most % TABLE_COLUMNS
        return min(columns, most)

    def linear(self, node: Node, source: TensorLayout, output: TensorLayout) -> None:
        """Emit a linear layer: the rows of tokens are stationary, the outputs are the columns."""
        emit, operator, name = self.emit, node.operator, node.name
        assert isinstance(operator, Linear)
        self.check_shift(node, operator)
        outputs, inputs = operator.weight.shape
        shape = self.terms(name, inputs)
        narrow = operator.weight_bits <= 4
        pairs = 2 if narrow and self.machine.split else 1
        narrow = narrow and pairs == 1
        words = -(-inputs // 2) if narrow else inputs
        weights = emit.memory.constant(
            self.rows_of(pack_columns(operator.weight) if pairs == 2 else operator.weight, narrow)
        )
        parameters = emit.memory.constant(
            column_parameters(self.machine.lines, bias=operator.bias, shift=operator.shift)
        )
        tile = emit.tiles[name] = self.tile(shape["chunks"], outputs, pairs)
        groups = range(source.first_row // self.machine.lines, source.groups)
        for first, columns, column_groups in self.tiles(outputs, tile, pairs):
            emit.load(
                dest=Dest.WEIGHTS, open=1, close=1, nibbles=int(narrow), inner=words, outer=len(column_groups),
                stride=words, address=weights + column_groups[0] * words,
            )  # fmt: skip
            self.column_parameters(parameters, first, columns)
            for group in groups:
                emit.load(
                    [Region(node.inputs[0], 0, group)],
                    dest=Dest.ROWS, open=1, close=1, inner=inputs, address=source.at(group),
                )  # fmt: skip
                emit.array(
                    columns=-(-columns // pairs), **shape, signed_rows=1, take_rows=1, release_rows=1,
                    mode=Mode.COLUMN, planes=output.bytes_each, pairs=pairs - 1,
                    **self.once(group, groups, "weights", "parameters"),
                )  # fmt: skip
                self.store(name, output, group, first, columns)

    def values(self, node: Node, heads: int, source: TensorLayout, output: TensorLayout) -> None:
        """Emit the values of attention: the weights are stationary, the tokens are the columns.

        So the values come out channel by channel, as attention × V reads them.
        """
        emit, operator, name, machine = self.emit, node.operator, node.name, self.machine
        assert isinstance(operator, Linear)
        self.check_shift(node, operator)
        outputs, inputs = operator.weight.shape
        shape = self.terms(name, inputs)
        narrow = operator.weight_bits <= 4
        words = -(-inputs // 2) if narrow else inputs
        channels, per_head = outputs // heads, output.groups
        # Every head begins a new group. The bias and the shift of a line follow its weights.
        block = words + LINE_PARAMETER_WORDS
        rows = np.zeros((heads, per_head * machine.lines, inputs), np.int8)
        rows[:, :channels] = operator.weight.reshape(heads, channels, inputs)
        body = self.rows_of(rows.reshape(-1, inputs), narrow).reshape(heads * per_head, words, machine.lines)
        tail = np.zeros((heads, per_head * machine.lines, LINE_PARAMETER_WORDS), np.uint8)
        bias = operator.bias.astype("<i4").view(np.uint8).reshape(heads, channels, 4)
        tail[:, :channels, :4] = bias
        tail[:, :channels, 4] = operator.shift.view(np.uint8).reshape(heads, channels)
        tail = tail.reshape(heads * per_head, machine.lines, LINE_PARAMETER_WORDS).swapaxes(1, 2)
        weights = emit.memory.constant(np.concatenate([body, tail], axis=1).reshape(-1, machine.lines))
        tile = self.tile(shape["chunks"], output.columns)
        for first, columns, token_groups in self.tiles(output.columns, tile):
            emit.load(
                [Region(node.inputs[0], 0, group) for group in token_groups],
                dest=Dest.WEIGHTS, open=1, close=1, inner=inputs, outer=len(token_groups),
                stride=source.stride, address=source.at(token_groups[0]),
            )  # fmt: skip
            every = range(heads * per_head)
            for group in every:
                at = weights + group * block
                emit.load(dest=Dest.ROWS, open=1, nibbles=int(narrow), inner=words, address=at)
                emit.load(dest=Dest.LINE_PARAMETERS, close=1, inner=LINE_PARAMETER_WORDS, address=at + words)
                emit.array(
                    columns=columns, **shape, signed_rows=1, take_rows=1, release_rows=1, mode=Mode.LINE,
                    planes=output.bytes_each, **self.once(group, every, "weights"),
                )  # fmt: skip
                head, inside = divmod(group, per_head)
                self.store(name, output, inside, first, columns, head)

    def scores(self, node: Node, sources: list[TensorLayout], output: TensorLayout) -> None:
        """Emit the scores: the queries are stationary, the keys are the columns; one product per head."""
        emit, operator, name = self.emit, node.operator, node.name
        assert isinstance(operator, Scores)
        queries, keys = sources
        depth = operator.head_dim
        shape = self.terms(name, depth)
        tile = self.tile(shape["chunks"], output.columns)
        for head in range(operator.heads):
            part = (head * depth, head * depth + depth)
            for first, columns, key_groups in self.tiles(output.columns, tile):
                emit.load(
                    [Region(node.inputs[1], 0, group, *part) for group in key_groups],
                    dest=Dest.WEIGHTS, open=1, close=1, inner=depth, outer=len(key_groups), stride=keys.stride,
                    address=keys.at(key_groups[0], head * depth),
                )  # fmt: skip
                groups = range(queries.groups)
                for group in groups:
                    emit.load(
                        [Region(node.inputs[0], 0, group, *part)],
                        dest=Dest.ROWS, open=1, close=1, inner=depth, address=queries.at(group, head * depth),
                    )  # fmt: skip
                    emit.array(
                        columns=columns, **shape, signed_rows=1, take_rows=1, release_rows=1, mode=Mode.RAW,
                        planes=4, **self.once(group, groups, "weights"),
                    )  # fmt: skip
                    self.store(name, output, group, first, columns, head)

    def attention(self, node: Node, sources: list[TensorLayout], output: TensorLayout) -> None:
        """Emit attention × V: codes and row sums are stationary, the channels of V are the columns."""
        emit, operator, name, machine = self.emit, node.operator, node.name, self.machine
        assert isinstance(operator, AttentionValues)
        codes, values = sources
        keys = codes.columns
        shape = self.terms(name, keys)
        log2 = operator.form == "log2"
        require(
            machine.shifters or not log2,
            name,
            "its codes are log2, and the machine has no shifters",
            "set shifters, or quantize with a linear softmax",
        )
        channels = operator.shift.size // operator.heads
        parameters = emit.memory.constant(
            column_parameters(machine.lines, shift=operator.shift.astype(np.int64) + QUOTIENT_FRACTION)
        )
        tile = self.tile(shape["chunks"], channels)
        for head in range(operator.heads):
            for first, columns, channel_groups in self.tiles(channels, tile):
                emit.load(
                    [Region(node.inputs[1], head, group) for group in channel_groups],
                    dest=Dest.WEIGHTS, open=1, close=1, inner=keys, outer=len(channel_groups),
                    stride=values.stride, address=values.at(channel_groups[0], head=head),
                )  # fmt: skip
                self.column_parameters(parameters, head * channels + first, columns)
                groups = range(codes.groups)
                for group in groups:
                    ready = [Region(node.inputs[0], head, group)]
                    at = codes.at(group, head=head)
                    emit.load(ready, dest=Dest.ROWS, open=1, inner=keys, address=at)
                    emit.load(
                        ready,
                        dest=Dest.LINE_PARAMETERS,
                        close=1,
                        inner=LINE_PARAMETER_WORDS,
                        address=at + keys,
                    )
                    emit.array(
                        columns=columns, **shape, take_rows=1, release_rows=1, mode=Mode.QUOTIENT,
                        planes=output.bytes_each, log2=int(log2), guard=operator.guard,
                        **self.once(group, groups, "weights", "parameters"),
                    )  # fmt: skip
                    self.store(name, output, group, head * channels + first, columns)

    # --- shared

    def tiles(self, total: int, tile: int, pairs: int = 1) -> Iterator[tuple[int, int, range]]:
        """Yield the column tiles, which begin at a group: first column, number of columns, and column groups."""
        group = pairs * self.machine.lines
        for first in range(0, total, tile):
            columns = min(tile, total - first)
            yield first, columns, range(first // group, -(-(first + columns) // group))

    def rows_of(self, weight: np.ndarray, narrow: bool) -> np.ndarray:
        """Convert a weight matrix [outputs, terms] to words, in groups of outputs."""
        matrix = pack_nibbles(weight) if narrow else weight
        return TensorLayout(0, len(matrix), matrix.shape[1], 1, self.machine.lines).encode(matrix[None])

    def column_parameters(self, base: int, first: int, columns: int) -> None:
        """Emit the load of the parameters of a tile's columns."""
        each = self.machine.parameter_words
        self.emit.load(
            dest=Dest.COLUMN_PARAMETERS, open=1, close=1, inner=columns * each, address=base + first * each
        )

    def once(self, group: int, groups: range, *buffers: str) -> dict[str, int]:
        """Return the flags that take buffers with the first group and release them with the last."""
        flags = {f"take_{name}": int(group == groups[0]) for name in buffers}
        return flags | {f"release_{name}": int(group == groups[-1]) for name in buffers}

    def store(
        self, name: str, output: TensorLayout, group: int, first: int, columns: int, head: int = 0
    ) -> None:
        """Emit the store of the columns of a run."""
        self.emit.store(
            Region(name, 0 if output.stack == 1 else head, group, first, first + columns),
            source=Source.ARRAY, address=output.at(group, first, head), columns=columns, planes=output.bytes_each,
        )  # fmt: skip

    def check_shift(self, node: Node, operator: Linear) -> None:
        """Check that the re-quantizer can shift left as far as the layer needs.

        Raises:
            UnfitProgramError: The layer needs a larger left shift, because its accumulator is much coarser than its
                output.
        """
        least = int(operator.shift.min())
        require(
            least >= -MAX_LEFT_SHIFT,
            node.name,
            f"it shifts left by {-least} bits; the re-quantizer does at most {MAX_LEFT_SHIFT}",
            "use wider weights for this layer",
        )
