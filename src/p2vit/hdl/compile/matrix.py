"""Payload of the nodes that run on the array: linear layers, scores, attention × V."""

import numpy as np

from p2vit.accel.load_store.formats import LINE_PARAMETER_WORDS
from p2vit.accel.load_store.jobs import EngineJob, Load
from p2vit.hdl.compile.errors import require
from p2vit.hdl.compile.layout import TensorLayout, column_parameters, pack_columns, pack_nibbles
from p2vit.hdl.compile.payload import Context, Fields, NodePayload
from p2vit.hdl.top.descriptor import Mode
from p2vit.hdl.top.machine import MAX_LEFT_SHIFT
from p2vit.numerics import AttentionValues, Linear, Scores
from p2vit.numerics.attention_values import QUOTIENT_FRACTION


class MatrixPayload(NodePayload):
    """Payload of a matrix product: a row of ``terms`` terms in every line.

    Args:
        context: Node, layouts, machine and memory.
        terms: Terms of a row.

    Raises:
        UnfitProgramError: The row has more terms than a descriptor counts.
    """

    def __init__(self, context: Context, terms: int) -> None:
        super().__init__(context)
        machine, self.terms = self.machine, terms
        chunks = -(-terms // machine.lanes)
        require(terms < 1 << 16, self.name, f"rows have {terms} terms", "a descriptor counts up to 65535")
        self.shape = {"chunks": chunks, "tail": terms - (chunks - 1) * machine.lanes}

    def column_groups(self, job: EngineJob) -> Fields:
        """Return the shape of the load of a run's columns: groups of ``lines`` columns, of ``terms`` words each."""
        return {"inner": self.terms, "outer": -(-job.region.columns // self.machine.lines)}


class _Weighted(MatrixPayload):
    """Payload of a linear layer: 4-bit weights are stored two to a byte."""

    def __init__(self, context: Context) -> None:
        operator = context.node.operator
        assert isinstance(operator, Linear)
        self.operator = operator
        _check_shift(context.node.name, operator)
        super().__init__(context, operator.weight.shape[1])
        self.narrow = operator.weight_bits <= 4
        #: Words of the weights of one group of outputs.
        self.words = -(-self.terms // 2) if self.narrow else self.terms

    def packed(self, weight: np.ndarray) -> np.ndarray:
        """Convert a weight matrix [outputs, terms] to words, in groups of outputs."""
        matrix = pack_nibbles(weight) if self.narrow else weight
        return TensorLayout(0, len(matrix), matrix.shape[1], 1, self.machine.lines).encode(matrix[None])


class LinearPayload(_Weighted):
    """Payload of a linear layer: the rows of tokens are stationary, the outputs are the columns."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator, machine, memory = self.operator, self.machine, self.memory
        #: Columns whose 4-bit weights share a byte; the weights of other layers are packed term by term.
        self.pairs = 2 if self.narrow and machine.split else 1
        weight = operator.weight
        if self.pairs == 2:
            weight, self.narrow, self.words = pack_columns(weight), False, self.terms
        self.weights = memory.constant(self.packed(weight))
        self.constants = memory.constant(
            column_parameters(machine.lines, bias=operator.bias, shift=operator.shift)
        )

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        region = job.region
        if load.buffer == "weights":
            group = self.pairs * self.machine.lines
            return {
                "outer": -(-region.columns // group),
                "nibbles": int(self.narrow), "inner": self.words, "stride": self.words,
                "address": self.weights + region.first // group * self.words,
            }  # fmt: skip
        if load.buffer == "column_parameters":
            return {"address": self.constants + region.first * self.machine.parameter_words}
        return {"address": self.sources[0].at(region.group)}

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run; it counts pairs of columns where a step takes two."""
        fields = {**self.shape, "signed_rows": 1, "mode": Mode.COLUMN, "pairs": self.pairs - 1}
        return {**fields, "columns": -(-job.region.columns // self.pairs)}


class ValuesPayload(_Weighted):
    """Payload of the values of attention: the weights are stationary, the tokens are the columns.

    Every head begins a new group. The bias and the shift of a line follow its weights.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        operator, machine, heads, per_head = (
            self.operator,
            self.machine,
            self.output.stack,
            self.output.groups,
        )
        outputs, inputs = operator.weight.shape
        channels = outputs // heads
        rows = np.zeros((heads, per_head * machine.lines, inputs), np.int8)
        rows[:, :channels] = operator.weight.reshape(heads, channels, inputs)
        body = self.packed(rows.reshape(-1, inputs)).reshape(heads * per_head, self.words, machine.lines)
        tail = np.zeros((heads, per_head * machine.lines, LINE_PARAMETER_WORDS), np.uint8)
        tail[:, :channels, :4] = operator.bias.astype("<i4").view(np.uint8).reshape(heads, channels, 4)
        tail[:, :channels, 4] = operator.shift.view(np.uint8).reshape(heads, channels)
        tail = tail.reshape(heads * per_head, machine.lines, LINE_PARAMETER_WORDS).swapaxes(1, 2)
        self.weights = self.memory.constant(np.concatenate([body, tail], axis=1).reshape(-1, machine.lines))

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        region = job.region
        if load.buffer == "weights":
            return {
                **self.column_groups(job),
                "stride": self.sources[0].stride,
                "address": self.sources[0].at(region.first // self.machine.lines),
            }
        group = region.head * self.output.groups + region.group
        address = self.weights + group * (self.words + LINE_PARAMETER_WORDS)
        if load.opens:
            return {"nibbles": int(self.narrow), "address": address}
        return {"address": address + self.words}

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        return {**self.shape, "signed_rows": 1, "mode": Mode.LINE}


class ScoresPayload(MatrixPayload):
    """Payload of the scores: the queries are stationary, the keys are the columns; one product per head."""

    def __init__(self, context: Context) -> None:
        operator = context.node.operator
        assert isinstance(operator, Scores)
        super().__init__(context, operator.head_dim)
        self.queries, self.keys = self.sources

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        region = job.region
        if load.buffer == "weights":
            return {
                **self.column_groups(job),
                "stride": self.keys.stride,
                "address": self.keys.at(region.first // self.machine.lines, region.head * self.terms),
            }
        return {"address": self.queries.at(region.group, region.head * self.terms)}

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        return {**self.shape, "signed_rows": 1, "mode": Mode.RAW}


class AttentionPayload(MatrixPayload):
    """Payload of attention × V: codes and row sums are stationary, the channels of V are the columns."""

    def __init__(self, context: Context) -> None:
        operator = context.node.operator
        assert isinstance(operator, AttentionValues)
        self.operator, (self.codes, self.values) = operator, context.sources
        super().__init__(context, self.codes.columns)
        self.channels = operator.shift.size // operator.heads
        shift = operator.shift.astype(np.int64) + QUOTIENT_FRACTION
        self.constants = self.memory.constant(column_parameters(self.machine.lines, shift=shift))

    def load(self, job: EngineJob, load: Load) -> Fields:
        """Return the address and the shape of a load."""
        region = job.region
        head, first = divmod(region.first, self.channels)
        if load.buffer == "weights":
            return {
                **self.column_groups(job),
                "stride": self.values.stride,
                "address": self.values.at(first // self.machine.lines, head=head),
            }
        if load.buffer == "column_parameters":
            return {"address": self.constants + region.first * self.machine.parameter_words}
        address = self.codes.at(region.group, head=head)
        return {"address": address if load.opens else address + self.terms}

    def run(self, job: EngineJob) -> Fields:
        """Return the operation of a run."""
        log2 = int(self.operator.form == "log2")
        return {**self.shape, "mode": Mode.QUOTIENT, "log2": log2, "guard": self.operator.guard}


def _check_shift(name: str, operator: Linear) -> None:
    """Check that the re-quantizer can shift left as far as the layer needs.

    Raises:
        UnfitProgramError: The layer needs a larger left shift, because its accumulator is much coarser than its
            output.
    """
    least = int(operator.shift.min())
    require(
        least >= -MAX_LEFT_SHIFT,
        name,
        f"it shifts left by {-least} bits; the re-quantizer does at most {MAX_LEFT_SHIFT}",
        "use wider weights for this layer",
    )
