"""Workload: every operation of an integer Vision Transformer, with shapes and bit widths.

Moving windows, adding position constants and pooling count as operations too.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

OperationKind = Literal[
    "linear",  # activations × stored weights → int32 accumulators → re-quantized
    "scores",  # q · kᵀ of one head, int32, not re-quantized: the softmax reads the accumulators
    "attention_values",  # softmax codes × v of one head, then × the reciprocal of the row sum and a shift
    "layernorm",
    "softmax",
    "lookup",  # 256-entry table: GELU
    "add",  # residual add, saturating
    "score_bias",  # relative position bias and mask added to the scores (Swin)
    "rotary",  # queries or keys turned by constant angles, head by head
    "multiply",  # gate × linear branch of a gated MLP
    "tokens",  # class and register tokens prepended, position constants added
    "move",  # rows permuted: window partition, cyclic shift, patch merging's gather
    "pool",  # mean over rows
    "affine",  # per-channel multiply and add after the last LayerNorm
]
NetworkPart = Literal["embedding", "attention", "mlp", "merge", "head"]

ACCUMULATOR_BITS = 32
TABLE_BYTES = 256
CHANNEL_BYTES = 8
#: Cosine and sine of one pair of channels of one token; all heads share them.
ANGLE_BYTES = 4
MATMULS = ("linear", "scores", "attention_values")
ROW_WISE = ("layernorm", "softmax")


@dataclass(frozen=True)
class Operation:
    """One operation of the workload.

    A matrix product is ``instances`` independent products (rows × inner) · (inner × cols). Any other operation works
    on ``instances`` matrices of rows × cols and has ``inner`` 0.

    Attributes:
        name: Name, unique in the workload, e.g. ``blocks.3.mlp.fc1``.
        kind: Kind of operation.
        part: Part of the network that it belongs to.
        block: Encoder block, -1 outside the blocks.
        rows: Rows (tokens) of the output of one instance.
        cols: Columns of the output of one instance.
        inner: Length of the dot products of a matrix product; 0 for other operations.
        instances: Number of independent instances: heads × windows for attention, else 1.
        heads: Number of heads among the instances; attention is scheduled head by head.
        input_bits: Width of an input activation.
        weight_bits: Width of a stored weight; 0 if both operands are activations.
        output_bits: Width of an output number.
        log2_codes: Whether softmax codes are exponents, so that attention × V is shift and add.
        tables: Number of tables of a lookup; each serves an equal share of the columns.
    """

    name: str
    kind: OperationKind
    part: NetworkPart
    block: int
    rows: int
    cols: int
    inner: int = 0
    instances: int = 1
    heads: int = 1
    input_bits: int = 8
    weight_bits: int = 0
    output_bits: int = 8
    log2_codes: bool = False
    tables: int = 1

    def __post_init__(self) -> None:
        """Check the consistency of the fields.

        Raises:
            ValueError: A field is not allowed; the message names the operation and the field.
        """
        if min(self.rows, self.cols, self.instances, self.heads) < 1:
            raise ValueError(f"{self.name}: rows, cols, instances and heads must be positive, not {self}")
        if (self.inner > 0) != (self.kind in MATMULS):
            raise ValueError(f"{self.name}: inner is {self.inner}; a {self.kind} needs {self._inner_rule()}")
        if self.instances % self.heads:
            raise ValueError(f"{self.name}: {self.instances} instances do not divide into {self.heads} heads")
        if (self.weight_bits > 0) != (self.kind == "linear"):
            raise ValueError(f"{self.name}: weight_bits is {self.weight_bits}; only a linear stores weights")

    def _inner_rule(self) -> str:
        return "a positive inner" if self.kind in MATMULS else "inner 0"

    @property
    def macs(self) -> int:
        """Number of multiply-accumulates or shift-accumulates; 0 for an operation that is not a matrix product."""
        return self.instances * self.rows * self.cols * self.inner

    @property
    def elements(self) -> int:
        """Number of output elements."""
        return self.instances * self.rows * self.cols

    @property
    def weight_bytes(self) -> int:
        """Bytes of stored weights and 32-bit biases."""
        if not self.weight_bits:
            return 0
        return -(-self.inner * self.cols * self.weight_bits // 8) + 4 * self.cols

    @property
    def table_bytes(self) -> int:
        """Bytes of constants other than weights: tables, score biases, gains, biases and shifts."""
        if self.kind == "lookup":
            return TABLE_BYTES * self.tables
        if self.kind == "score_bias":
            return self.heads * self.rows * self.cols * ACCUMULATOR_BITS // 8
        if self.kind == "rotary":
            return self.rows * self.cols // 2 * ANGLE_BYTES
        return CHANNEL_BYTES * self.cols if self.kind in ("layernorm", "affine", "multiply") else 0

    @property
    def output_bytes(self) -> int:
        """Bytes of the output."""
        return -(-self.elements * self.output_bits // 8)

    @property
    def requantized(self) -> bool:
        """Whether the int32 accumulators pass through the re-quantization chunk."""
        return self.kind in ("linear", "attention_values") and self.output_bits < ACCUMULATOR_BITS


@dataclass(frozen=True)
class Workload:
    """Operations of a model in program order.

    Attributes:
        name: Name of the model.
        operations: Operations in program order; an operation reads the output of earlier ones.
        input_bytes: Bytes of pixels read from DRAM.
        constant_bytes: Bytes of position constants and tokens read from DRAM.
        images: Number of images that the operations process.
    """

    name: str
    operations: tuple[Operation, ...]
    input_bytes: int
    constant_bytes: int = 0
    images: int = 1

    def __post_init__(self) -> None:
        """Check that there are operations and that their names are unique.

        Raises:
            ValueError: There is no operation, or a name occurs twice.
        """
        if not self.operations:
            raise ValueError(f"{self.name}: a workload needs at least one operation")
        repeated = [name for name, count in Counter(op.name for op in self.operations).items() if count > 1]
        if repeated:
            raise ValueError(
                f"{self.name}: operation names must be unique; repeated: {', '.join(repeated[:5])}"
            )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all images, attention × V included."""
        return sum(op.macs for op in self.operations)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all stored weights and biases."""
        return sum(op.weight_bytes for op in self.operations)
