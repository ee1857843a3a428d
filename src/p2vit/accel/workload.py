"""What the machine has to compute: every operation of an integer Vision Transformer, with shapes and bits.

Nothing is free: moving windows, adding position constants and pooling are operations too.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "linear",  # activations × stored weights -> int32 accumulators -> requantized
    "scores",  # q · kᵀ of one head, int32, not requantized: softmax takes the accumulators
    "attention_values",  # softmax codes × v of one head, then × the row's reciprocal and a shift
    "layernorm",
    "softmax",
    "lookup",  # 256-entry table: GELU
    "add",  # residual, saturating
    "score_bias",  # relative position bias and mask onto the scores (Swin)
    "rotary",  # queries or keys turned by constant angles, head by head
    "multiply",  # gate × linear branch of a gated MLP
    "tokens",  # class and register tokens put in front, position constants added
    "move",  # rows permuted: window partition, cyclic shift, patch merging's gather
    "pool",  # mean over rows
    "affine",  # per-channel multiply and add after the last LayerNorm
]
Part = Literal["embedding", "attention", "mlp", "merge", "head"]

ACCUMULATOR_BITS = 32
TABLE_BYTES = 256
CHANNEL_BYTES = 8
#: Cosine and sine of one pair of channels of one token; all heads share them.
ANGLE_BYTES = 4
MATMULS = ("linear", "scores", "attention_values")
ROW_WISE = ("layernorm", "softmax")


@dataclass(frozen=True)
class Operation:
    """One operation of the integer program.

    A matrix product is ``instances`` independent products (rows × inner) · (inner × cols); any other
    operation works on ``instances`` matrices of rows × cols and leaves ``inner`` at 0.

    Attributes:
        name: Unique in the workload, e.g. ``blocks.3.mlp.fc1``.
        kind: What it computes.
        part: The part of the network it is counted under.
        block: Encoder block, -1 outside the blocks.
        rows: Rows of the output of one instance (tokens).
        cols: Columns of the output of one instance.
        inner: Length of the reduction of a matrix product.
        instances: Independent copies: heads × windows for attention, else 1.
        heads: Heads among the instances; attention is scheduled head by head.
        input_bits: Bits of one activation read.
        weight_bits: Bits of one stored weight; 0 where both operands are activations.
        output_bits: Bits of one number written.
        log2_codes: Softmax codes are exponents, so that attention × V is shift and add.
        tables: Tables of a lookup, each for an even share of its columns.
    """

    name: str
    kind: Kind
    part: Part
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
        """Check what every model below relies on.

        Raises:
            ValueError: naming the operation and the field.
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
        """Multiply-accumulates (or shift-accumulates); 0 for what is not a matrix product."""
        return self.instances * self.rows * self.cols * self.inner

    @property
    def elements(self) -> int:
        """Numbers written."""
        return self.instances * self.rows * self.cols

    @property
    def weight_bytes(self) -> int:
        """Bytes of stored weights and 32-bit biases."""
        if not self.weight_bits:
            return 0
        return -(-self.inner * self.cols * self.weight_bits // 8) + 4 * self.cols

    @property
    def table_bytes(self) -> int:
        """Bytes of an operation's constants that are no weights: tables, score biases, gain, bias and shifts."""
        if self.kind == "lookup":
            return TABLE_BYTES * self.tables
        if self.kind == "score_bias":
            return self.heads * self.rows * self.cols * ACCUMULATOR_BITS // 8
        if self.kind == "rotary":
            return self.rows * self.cols // 2 * ANGLE_BYTES
        return CHANNEL_BYTES * self.cols if self.kind in ("layernorm", "affine", "multiply") else 0

    @property
    def output_bytes(self) -> int:
        """Bytes written."""
        return -(-self.elements * self.output_bits // 8)

    @property
    def requantized(self) -> bool:
        """Whether its int32 accumulators pass the re-quantization chunk."""
        return self.kind in ("linear", "attention_values") and self.output_bits < ACCUMULATOR_BITS


@dataclass(frozen=True)
class Workload:
    """Operations in program order.

    Attributes:
        name: What users type.
        operations: Program order; an operation reads what stands before it.
        input_bytes: Pixels read from DRAM.
        constant_bytes: Position constants and tokens read from DRAM.
    """

    name: str
    operations: tuple[Operation, ...]
    input_bytes: int
    constant_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse an empty or ambiguous workload.

        Raises:
            ValueError: naming the workload and what is repeated.
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
        """Multiply-accumulates of one image, attention × V included."""
        return sum(op.macs for op in self.operations)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all stored weights and biases."""
        return sum(op.weight_bytes for op in self.operations)
