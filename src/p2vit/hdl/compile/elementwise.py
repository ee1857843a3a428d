"""Compiles nodes for the vector engine: patches, tables, adds, affine, sums, LayerNorm, softmax."""

from collections.abc import Iterator

import numpy as np

from p2vit.hdl.compile.emitter import Emitter, Region
from p2vit.hdl.compile.errors import require
from p2vit.hdl.compile.layout import TensorLayout, column_parameters
from p2vit.hdl.top.descriptor import Dest, Source, VectorOp
from p2vit.hdl.top.machine import MAX_DISTANCE_SHIFT, MAX_LEFT_SHIFT, SUM_BYTES
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    LayerNorm,
    Lookup,
    Patchify,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import squares_shift
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import Node


class VectorEmitter:
    """Emits the jobs of nodes that the vector engine executes.

    Args:
        emit: Emitter that collects the jobs.
    """

    def __init__(self, emit: Emitter) -> None:
        self.emit = emit
        self.machine = emit.machine
        self.norm_channels = 0

    # --- pixels

    def patchify(self, node: Node, pixels: int, shape: tuple[int, ...], output: TensorLayout) -> None:
        """Emit patch extraction: gather the bytes of one patch per line, and subtract 128 by inverting the top bit."""
        emit, machine, operator = self.emit, self.machine, node.operator
        assert isinstance(operator, Patchify)
        size, lines = operator.patch_size, machine.lines
        _, width, channels = shape
        grid, run, pixel_row = width // size, size * channels, width * channels
        require(
            run <= machine.vector_columns,
            node.name,
            f"one row of a patch has {run} bytes; vector_columns is {machine.vector_columns}",
            f"raise vector_columns to {run} or more",
        )
        rows_at_once = min(size, machine.vector_columns // run)
        pitch, wrap = run, size * pixel_row - (grid - 1) * run
        fits = pitch // lines < 256 and wrap // lines < 1 << 16 and grid < 1 << 12
        require(
            fits, node.name, f"images are {width} pixels wide", "the gather's steps are at most 2^16 words"
        )
        for group in range(output.first_row // lines, output.groups):
            first = max(0, output.first_row - group * lines)
            end = min(lines, output.first_row + output.rows - group * lines)
            patch = group * lines + first - output.first_row
            for top in range(0, size, rows_at_once):
                count = min(rows_at_once, size - top)
                at = (patch // grid * size + top) * pixel_row + patch % grid * run
                emit.load(
                    dest=Dest.VECTOR, open=1, close=1, gather=1, planes=1, address=pixels + at // lines,
                    byte=at % lines,
                    inner=run, outer=count, line_first=first, line_end=end, grid_column=patch % grid, grid_width=grid,
                    pitch_word=pitch // lines, pitch_byte=pitch % lines, wrap_word=wrap // lines,
                    wrap_byte=wrap % lines, stride=pixel_row // lines, row_byte=pixel_row % lines,
                )  # fmt: skip
                self.run(op=VectorOp.COPY, count=count * run, flip=1, planes=1)
                self.store(node.name, output, group, top * run, count * run)

    # --- one number at a time

    def lookup(self, node: Node, source: TensorLayout, output: TensorLayout) -> None:
        """Emit a table lookup, with one table for all columns or one table per group of columns."""
        emit, machine, operator = self.emit, self.machine, node.operator
        assert isinstance(operator, Lookup)
        tables = np.atleast_2d(operator.table)
        width = output.columns // len(tables)
        words = np.zeros((tables.size, machine.lines), np.uint8)
        words[:, 0] = tables.reshape(-1).view(np.uint8)
        base = emit.memory.constant(words)
        tile = emit.tiles.get(node.inputs[0], output.columns)
        if len(tables) == 1:
            most = tile
        else:
            require(
                width <= machine.vector_columns,
                node.name,
                f"a table serves {width} columns; vector_columns is {machine.vector_columns}",
                f"raise vector_columns to {width} or more",
            )
            most = max(1, min(tile // width, machine.vector_columns // width, machine.table_groups)) * width
        for first, columns, groups in self.tiles(output, most):
            used = range(1) if len(tables) == 1 else range(first // width, (first + columns) // width)
            emit.load(dest=Dest.TABLE, open=1, close=1, inner=256 * len(used), address=base + 256 * used[0])
            for group in groups:
                self.fetch(source, Region(node.inputs[0], 0, group, first, first + columns))
                self.run(
                    op=VectorOp.LOOKUP, count=columns, planes=1, release_table=int(group == groups[-1]),
                    group_columns=width if len(tables) > 1 else 0,
                )  # fmt: skip
                self.store(node.name, output, group, first, columns)

    def add(self, node: Node, sources: list[TensorLayout], output: TensorLayout) -> None:
        """Emit a residual add; both operands share one buffer slot."""
        operator = node.operator
        assert isinstance(operator, Add)
        fields = {"left_a": operator.left_a, "left_b": operator.left_b, "shift": operator.shift}
        fields = {key: np.broadcast_to(value, (output.columns,)) for key, value in fields.items()}
        keys = (node.inputs[0], node.inputs[1])
        self.sum_of_two(node.name, keys, sources, output, fields, 0)

    def assemble(self, node: Node, source: TensorLayout, output: TensorLayout) -> None:
        """Emit token assembly: add patch tokens (0 in the rows of prefix tokens) to prefix and position constants."""
        operator = node.operator
        assert isinstance(operator, AssembleTokens)
        constants = np.concatenate([operator.prefix, operator.position])
        form = TensorLayout(0, len(constants), output.columns, output.bytes_each, self.machine.lines)
        base = self.emit.memory.constant(form.encode(constants[None]))
        second = TensorLayout(base, form.rows, form.columns, form.bytes_each, form.lines)
        fields = {"shift": np.zeros(output.columns, np.int64)}
        self.sum_of_two(
            node.name, (node.inputs[0], ""), [source, second], output, fields, len(operator.prefix)
        )

    def sum_of_two(
        self,
        name: str,
        keys: tuple[str, str],
        sources: list[TensorLayout],
        output: TensorLayout,
        fields: dict,
        prefix: int,
    ) -> None:
        """Emit the sum of two tensors. The first operand counts as 0 in its first ``prefix`` rows."""
        a, b = sources
        lines = self.machine.lines
        parameters = self.emit.memory.constant(column_parameters(lines, **fields))
        for first, columns, groups in self.tiles(output, self.emit.tiles.get(keys[1] or keys[0])):
            self.parameters(parameters, first, columns)
            for group in groups:
                self.fetch(a, Region(keys[0], 0, group, first, first + columns), close=0)
                self.fetch(b, Region(keys[1], 0, group, first, first + columns), plane=2, open=0)
                self.run(
                    op=VectorOp.ADD, count=columns, planes=output.bytes_each, **self.once(group, groups),
                    line_first=min(lines, max(0, prefix - group * lines)),
                    narrow_a=int(a.bytes_each == 1), narrow_b=int(b.bytes_each == 1),
                )  # fmt: skip
                self.store(name, output, group, first, columns)

    def affine(self, node: Node, source: TensorLayout, output: TensorLayout) -> None:
        """Emit an affine operation: gain, bias and shift per column."""
        operator = node.operator
        assert isinstance(operator, Affine)
        least = int(operator.shift.min())
        require(
            least >= -MAX_LEFT_SHIFT,
            node.name,
            f"it shifts left by {-least} bits; the re-quantizer does at most {MAX_LEFT_SHIFT}",
            "give its gain a finer exponent",
        )
        parameters = self.emit.memory.constant(
            column_parameters(
                self.machine.lines, gain=operator.gain, bias=operator.bias, shift=operator.shift
            )
        )
        for first, columns, groups in self.tiles(output):
            self.parameters(parameters, first, columns)
            for group in groups:
                self.fetch(source, Region(node.inputs[0], 0, group, first, first + columns))
                self.run(
                    op=VectorOp.AFFINE, count=columns, planes=output.bytes_each, **self.once(group, groups),
                    narrow_a=int(source.bytes_each == 1),
                )  # fmt: skip
                self.store(node.name, output, group, first, columns)

    def sum_tokens(self, node: Node, source: TensorLayout, output: TensorLayout) -> None:
        """Emit a sum over tokens. To select one token, the sum has that token only."""
        operator, lines = node.operator, self.machine.lines
        if isinstance(operator, SelectToken):
            start, count = operator.index, 1
            shift: IntArray = np.zeros(1, np.int8)
        else:
            assert isinstance(operator, SumTokens)
            start, count, shift = operator.first, operator.count, operator.shift
        start += source.first_row
        end = start + count
        parameters = self.emit.memory.constant(
            column_parameters(lines, shift=np.broadcast_to(shift, (output.columns,)))
        )
        groups = range(start // lines, -(-end // lines))
        for first, columns, _ in self.tiles(output):
            self.parameters(parameters, first, columns)
            for group in groups:
                last = group == groups[-1]
                self.fetch(source, Region(node.inputs[0], 0, group, first, first + columns))
                self.run(
                    op=VectorOp.SUM, count=columns, planes=output.bytes_each, **self.once(group, groups),
                    line_first=max(0, start - group * lines), line_end=min(lines, end - group * lines),
                    first=int(group == groups[0]), emit=int(last), narrow_a=int(source.bytes_each == 1),
                )  # fmt: skip
            self.store(node.name, output, 0, first, columns)

    # --- whole rows

    def layer_norm(self, node: Node, source: TensorLayout, output: TensorLayout) -> None:
        """Emit a LayerNorm: three passes over the channels of a row group."""
        emit, machine, operator = self.emit, self.machine, node.operator
        assert isinstance(operator, LayerNorm)
        channels = operator.channels
        require(
            channels <= machine.vector_columns,
            node.name,
            f"it normalises {channels} channels; vector_columns is {machine.vector_columns}",
            f"raise vector_columns to {channels} or more",
        )
        require(
            self.norm_channels in (0, channels),
            node.name,
            f"it normalises {channels} channels, an earlier one {self.norm_channels}",
            "the machine holds one table of reciprocal roots: all LayerNorms must be equally wide",
        )
        if not self.norm_channels:
            words = np.zeros((operator.table.size, machine.lines), np.uint8)
            words[:, :2] = operator.table.astype("<u2").view(np.uint8).reshape(-1, 2)
            emit.load(dest=Dest.NORM_TABLE, inner=len(words), address=emit.memory.constant(words))
            self.norm_channels = channels
        parameters = emit.memory.constant(
            column_parameters(machine.lines, left_a=operator.input_shift, shift=operator.shift)
        )
        groups = range(output.first_row // machine.lines, output.groups)
        self.parameters(parameters, 0, channels)
        for group in groups:
            self.fetch(source, Region(node.inputs[0], 0, group, 0, channels))
            self.run(
                op=VectorOp.LAYERNORM, count=channels, planes=output.bytes_each, **self.once(group, groups),
                limit=(1 << (operator.input_bits - 1)) - 1, epsilon=operator.epsilon,
                epsilon_shift=operator.epsilon_shift, squares_shift=squares_shift(channels),
                narrow_a=int(source.bytes_each == 1),
            )  # fmt: skip
            self.store(node.name, output, group, 0, channels)

    def softmax(self, node: Node, guard: int, source: TensorLayout, output: TensorLayout) -> None:
        """Emit a softmax: two passes over the keys of a row group; the row sum follows the codes."""
        machine, operator = self.machine, node.operator
        assert isinstance(operator, Softmax)
        keys = output.columns
        require(
            keys + SUM_BYTES <= machine.vector_columns,
            node.name,
            f"rows have {keys} keys and a sum of {SUM_BYTES} bytes; vector_columns is {machine.vector_columns}",
            f"raise vector_columns to {keys + SUM_BYTES} or more",
        )
        least = int(operator.shift.min())
        require(
            least >= -MAX_DISTANCE_SHIFT,
            node.name,
            f"a head shifts distances left by {-least} bits; the softmax does at most {MAX_DISTANCE_SHIFT}",
            "its scores are too coarse: use wider weights for q and k",
        )
        for head in range(output.stack):
            for group in range(output.groups):
                self.fetch(source, Region(node.inputs[0], head, group, 0, keys))
                self.run(
                    op=VectorOp.SOFTMAX, count=keys, planes=1, softmax_shift=int(operator.shift[head]),
                    log2=int(operator.form == "log2"), guard=guard,
                )  # fmt: skip
                self.store(node.name, output, group, 0, keys + SUM_BYTES, head)

    # --- shared

    def tiles(self, output: TensorLayout, most: int | None = None) -> Iterator[tuple[int, int, range]]:
        """Yield the column tiles: first column, number of columns, and row groups."""
        most = min(most or output.columns, self.machine.vector_columns)
        groups = range(output.first_row // self.machine.lines, output.groups)
        for first in range(0, output.columns, most):
            yield first, min(most, output.columns - first), groups

    def parameters(self, base: int, first: int, columns: int) -> None:
        """Emit the load of the parameters of some columns."""
        each = self.machine.parameter_words
        self.emit.load(
            dest=Dest.VECTOR_PARAMETERS, open=1, close=1, inner=columns * each, address=base + first * each
        )

    def once(self, group: int, groups: range) -> dict[str, int]:
        """Return the flags that take the parameters with the first row group and release them with the last."""
        return {
            "take_parameters": int(group == groups[0]),
            "release_parameters": int(group == groups[-1]),
        }

    def fetch(
        self, source: TensorLayout, region: Region, *, plane: int = 0, open: int = 1, close: int = 1
    ) -> None:
        """Emit the load of columns of one row group into the vector buffer.

        Args:
            source: Layout of the tensor that is read.
            region: Columns, group and head of that tensor.
            plane: First byte of the buffer word that the numbers go to.
            open: 1 if the load takes a free slot.
            close: 1 if the slot is full after the load.
        """
        self.emit.load(
            [region],
            dest=Dest.VECTOR, open=open, close=close, plane=plane, planes=source.bytes_each,
            inner=region.columns * source.bytes_each, address=source.at(region.group, region.first, region.head),
        )  # fmt: skip

    def run(self, **values: int) -> None:
        """Emit one run of the vector engine on one buffer slot."""
        defaults = {"take": 1, "release": 1, "emit": 1, "line_end": self.machine.lines}
        self.emit.vector(**{**defaults, **values})

    def store(
        self, name: str, output: TensorLayout, group: int, first: int, columns: int, head: int = 0
    ) -> None:
        """Emit the store of the columns of a run."""
        self.emit.store(
            Region(name, head, group, first, first + columns),
            source=Source.VECTOR, address=output.at(group, first, head), columns=columns, planes=output.bytes_each,
        )  # fmt: skip
