"""Payload of the nodes that run on the vector engine: patches, tables, adds, affine, sums, LayerNorm, softmax."""

import numpy as np

from p2vit.accel.load_store.formats import TABLE_WORDS
from p2vit.accel.load_store.jobs import EngineJob, Load
from p2vit.hdl.compile.errors import require
from p2vit.hdl.compile.layout import TensorLayout, column_parameters
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.compile.payload import Context, Fields, NodePayload
from p2vit.hdl.top.descriptor import VectorOp
from p2vit.hdl.top.machine import MAX_DISTANCE_SHIFT, MAX_LEFT_SHIFT, RtlMachine
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


class VectorPayload(NodePayload):
    """Payload of an operation on the numbers of one or two tensors."""

    #: Operation of the vector engine.
    op: VectorOp
    #: Address of the parameters of the columns, or of the tables.
    constants = 0

    def parameters(self, **fields: IntArray | int) -> None:
        """Store the parameters of all columns as constants."""
        self.constants = self.memory.constant(column_parameters(self.machine.lines, **fields))

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        region = job.region
        if load.buffer == "vector_parameters":
            return {"address": self.constants + region.first * self.machine.parameter_words}
        # The second operand goes to the upper bytes of the same slot.
        source = self.sources[0 if load.opens else 1]
        read = load.reads[0] if load.reads else region
        return {
            "plane": 0 if load.opens else 2,
            "planes": source.bytes_each,
            "address": source.at(read.group, read.first, read.head),
        }

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        return {"op": self.op, "narrow_a": int(self.sources[0].bytes_each == 1)}


class GatherPayload(NodePayload):
    """Payload of patch extraction: the bytes of one patch per line, minus 128 by inverting the top bit.

    Args:
        context: Node, layouts, machine and memory.
        pixels: Word address of the pixels.
        shape: Shape of the pixels: height, width, channels.
    """

    def __init__(self, context: Context, pixels: int, shape: tuple[int, ...]) -> None:
        super().__init__(context)
        operator, lines = context.node.operator, self.machine.lines
        assert isinstance(operator, Patchify)
        self.pixels, self.lines, self.size = pixels, lines, operator.patch_size
        _, width, channels = shape
        self.grid = width // self.size
        self.row, self.pixel_row = self.size * channels, width * channels
        self.wrap = self.size * self.pixel_row - (self.grid - 1) * self.row
        fits = self.row // lines < 256 and self.wrap // lines < 1 << 16 and self.grid < 1 << 12
        require(
            fits, self.name, f"images are {width} pixels wide", "the gather's steps are at most 2^16 words"
        )

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the steps of a gather of some rows of pixels of each patch of a group."""
        lines, row, grid, region = self.lines, self.row, self.grid, job.region
        first = max(0, self.output.first_row - region.group * lines)
        end = min(lines, self.output.first_row + self.output.rows - region.group * lines)
        patch = region.group * lines + first - self.output.first_row
        top = region.first // row
        at = (patch // grid * self.size + top) * self.pixel_row + patch % grid * row
        return {
            "planes": 1, "address": self.pixels + at // lines, "byte": at % lines,
            "inner": row, "outer": region.columns // row, "line_first": first, "line_end": end,
            "grid_column": patch % grid, "grid_width": grid,
            "pitch_word": row // lines, "pitch_byte": row % lines,
            "wrap_word": self.wrap // lines, "wrap_byte": self.wrap % lines,
            "stride": self.pixel_row // lines, "row_byte": self.pixel_row % lines,
        }  # fmt: skip

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        return {"op": VectorOp.COPY, "flip": 1}


class LookupPayload(VectorPayload):
    """Payload of a table lookup, with one table for all columns or one table per group of columns."""

    op = VectorOp.LOOKUP

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator, machine = context.node.operator, self.machine
        assert isinstance(operator, Lookup)
        tables = np.atleast_2d(operator.table)
        #: Columns that one of several tables serves; 0 if one table serves all.
        self.width = self.output.columns // len(tables) if len(tables) > 1 else 0
        words = np.zeros((tables.size, machine.lines), np.uint8)
        words[:, 0] = tables.reshape(-1).view(np.uint8)
        self.constants = self.memory.constant(words)

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        if load.buffer != "table":
            return super().load(job, load)
        table = job.region.first // self.width if self.width else 0
        return {"address": self.constants + TABLE_WORDS * table}

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        return {"op": self.op, "group_columns": self.width}


class _SumOfTwoPayload(VectorPayload):
    """Payload of the sum of two tensors. The first operand counts as 0 in its first ``prefix`` rows."""

    op = VectorOp.ADD
    prefix = 0

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        lines, (a, b) = self.machine.lines, self.sources
        return {
            "op": self.op,
            "line_first": min(lines, max(0, self.prefix - job.region.group * lines)),
            "narrow_a": int(a.bytes_each == 1),
            "narrow_b": int(b.bytes_each == 1),
        }


class AddPayload(_SumOfTwoPayload):
    """Payload of a residual add; both operands share one buffer slot."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator = context.node.operator
        assert isinstance(operator, Add)
        fields = {"left_a": operator.left_a, "left_b": operator.left_b, "shift": operator.shift}
        self.parameters(
            **{key: np.broadcast_to(value, (self.output.columns,)) for key, value in fields.items()}
        )


class AssemblePayload(_SumOfTwoPayload):
    """Payload of token assembly: patch tokens (0 in the rows of prefix tokens) plus prefix and position constants."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator, output = context.node.operator, self.output
        assert isinstance(operator, AssembleTokens)
        constants = np.concatenate([operator.prefix, operator.position])
        form = TensorLayout(0, len(constants), output.columns, output.bytes_each, self.machine.lines)
        base = self.memory.constant(form.encode(constants[None]))
        second = TensorLayout(base, form.rows, form.columns, form.bytes_each, form.lines)
        self.sources, self.prefix = [self.sources[0], second], len(operator.prefix)
        self.parameters(shift=np.zeros(output.columns, np.int64))


class AffinePayload(VectorPayload):
    """Payload of an affine operation: gain, bias and shift per column."""

    op = VectorOp.AFFINE

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator = context.node.operator
        assert isinstance(operator, Affine)
        least = int(operator.shift.min())
        require(
            least >= -MAX_LEFT_SHIFT,
            self.name,
            f"it shifts left by {-least} bits; the re-quantizer does at most {MAX_LEFT_SHIFT}",
            "give its gain a finer exponent",
        )
        self.parameters(gain=operator.gain, bias=operator.bias, shift=operator.shift)


class SumPayload(VectorPayload):
    """Payload of a sum over tokens. To select one token, the sum has that token only."""

    op = VectorOp.SUM

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator = context.node.operator
        if isinstance(operator, SelectToken):
            start, count = operator.index, 1
            shift: IntArray = np.zeros(1, np.int8)
        else:
            assert isinstance(operator, SumTokens)
            start, count, shift = operator.first, operator.count, operator.shift
        self.start = self.sources[0].first_row + start
        self.end = self.start + count
        self.parameters(shift=np.broadcast_to(shift, (self.output.columns,)))

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        lines, before = self.machine.lines, job.loads[-1].reads[0].group * self.machine.lines
        return {
            **super().run(job),
            "line_first": max(0, self.start - before),
            "line_end": min(lines, self.end - before),
            "first": int(before <= self.start),
        }


class LayerNormPayload(VectorPayload):
    """Payload of a LayerNorm: three passes over the channels of a row group."""

    op = VectorOp.LAYERNORM

    def __init__(self, context: Context, table: int) -> None:
        super().__init__(context)
        operator = context.node.operator
        assert isinstance(operator, LayerNorm)
        self.operator, self.table = operator, table
        self.parameters(left_a=operator.input_shift, shift=operator.shift)

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        return {"address": self.table} if load.buffer == "norm_table" else super().load(job, load)

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        operator, output = self.operator, self.output
        before = job.region.group * self.machine.lines
        return {
            **super().run(job),
            # Only rows in use get a factor, one per cycle.
            "line_end": min(self.machine.lines, output.first_row + output.rows - before),
            "limit": (1 << (operator.input_bits - 1)) - 1,
            "epsilon": operator.epsilon,
            "epsilon_shift": operator.epsilon_shift,
            "squares_shift": squares_shift(operator.channels),
        }


class SoftmaxPayload(VectorPayload):
    """Payload of a softmax: two passes over the keys of a row group; the row sum follows the codes."""

    op = VectorOp.SOFTMAX

    def __init__(self, context: Context, guard: int) -> None:
        super().__init__(context)
        operator = context.node.operator
        assert isinstance(operator, Softmax)
        self.operator, self.guard, self.keys = operator, guard, self.output.columns
        least = int(operator.shift.min())
        require(
            least >= -MAX_DISTANCE_SHIFT,
            self.name,
            f"a head shifts distances left by {-least} bits; the softmax does at most {MAX_DISTANCE_SHIFT}",
            "its scores are too coarse: use wider weights for q and k",
        )

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        operator = self.operator
        return {
            "op": self.op,
            "count": self.keys,
            "softmax_shift": int(operator.shift[job.region.head]),
            "log2": int(operator.form == "log2"),
            "guard": self.guard,
        }


class RootTable:
    """Table of reciprocal square roots, which all LayerNorms of a program share.

    Args:
        machine: Sizes of the accelerator.
        memory: Memory image that the table goes to.
    """

    def __init__(self, machine: RtlMachine, memory: MemoryImage) -> None:
        self.machine, self.memory = machine, memory
        self.channels = self.address = self.words = 0

    def address_for(self, node: Node) -> int:
        """Return the address of the table; the first LayerNorm stores it.

        Raises:
            UnfitProgramError: The LayerNorm has another width than an earlier one.
        """
        operator, machine = node.operator, self.machine
        assert isinstance(operator, LayerNorm)
        channels = operator.channels
        require(
            self.channels in (0, channels),
            node.name,
            f"it normalises {channels} channels, an earlier one {self.channels}",
            "the machine holds one table of reciprocal roots: all LayerNorms must be equally wide",
        )
        if not self.channels:
            words = np.zeros((operator.table.size, machine.lines), np.uint8)
            words[:, :2] = operator.table.astype("<u2").view(np.uint8).reshape(-1, 2)
            self.channels, self.words = channels, len(words)
            self.address = self.memory.constant(words)
        return self.address
