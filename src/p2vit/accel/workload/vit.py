"""Workload of a plain ViT, from its shape alone; weights are not needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload.operations import ACCUMULATOR_BITS, NetworkPart, Operation, Workload
from p2vit.models.config import ViTConfig
from p2vit.models.windows import BlockShape

RESIDUAL_BITS = 16
#: Bits of queries and keys before their rotary positions.
UNROTATED_BITS = 16
TABLE_COLUMNS = 64  # hidden channels that share a GELU table, where that divides their number


@dataclass(frozen=True)
class Precision:
    """Weight widths and softmax form of a workload.

    Attributes:
        weight_bits: Weight width, 8 or 4, of every linear layer that ``layers`` does not name.
        log2_attention: True for 4-bit log2 softmax codes (attention × V on shifters), False for unsigned 8-bit codes
            (on MACs).
        layers: Weight width of single linear layers by operation name, e.g. ``{"blocks.0.mlp.fc1": 4}``.
    """

    weight_bits: int = 8
    log2_attention: bool = True
    layers: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the widths.

        Raises:
            AccelError: A width is neither 4 nor 8; the message lists all of them.
        """
        wrong = {
            name: bits
            for name, bits in (("weight_bits", self.weight_bits), *self.layers.items())
            if bits not in (4, 8)
        }
        if wrong:
            raise AccelError(
                "precision", [f"{name} is {bits}; allowed: 4, 8" for name, bits in wrong.items()]
            )

    def of(self, name: str) -> int:
        """Return the weight width of the linear layer called ``name``."""
        return self.layers.get(name, self.weight_bits)

    def check_names(self, workload: Workload) -> None:
        """Check that every layer in ``layers`` exists.

        Raises:
            AccelError: A name is unknown; the message lists all of them, with the nearest known names.
        """
        linears = {op.name for op in workload.operations if op.kind == "linear"}
        unknown = [name for name in self.layers if name not in linears]
        if unknown:
            raise AccelError(
                f"precision for {workload.name}",
                [f"no linear is called {name!r}; {suggestion(name, linears)}" for name in unknown],
            )


@dataclass(frozen=True)
class AttentionShape:
    """Shape of one attention layer: ``windows`` × ``heads`` independent instances of ``tokens`` rows.

    Attributes:
        dim: Channels of the residual stream.
        heads: Heads per window.
        windows: Number of windows; 1 for a plain ViT.
        tokens: Tokens per window.
        score_bias: Whether a bias is added to the scores (Swin).
        rotary: Whether queries and keys have rotary positions.
    """

    dim: int
    heads: int
    windows: int
    tokens: int
    score_bias: bool = False
    rotary: bool = False


def attention(prefix: str, block: int, shape: AttentionShape, precision: Precision) -> list[Operation]:
    """Make the operations of attention, from q, k and v to the output projection, without LayerNorm and add.

    Args:
        prefix: Prefix of the operation names; it ends in a dot.
        block: Number of the encoder block.
        shape: Shape of the attention layer.
        precision: Weight widths and softmax form.
    """
    rows, dim, head_dim = shape.windows * shape.tokens, shape.dim, shape.dim // shape.heads
    instances = shape.windows * shape.heads
    code_bits = 4 if precision.log2_attention else 8

    def linear(name: str, output_bits: int = 8) -> Operation:
        bits = precision.of(prefix + name)
        return Operation(
            prefix + name,
            "linear",
            "attention",
            block,
            rows,
            dim,
            dim,
            heads=1,
            weight_bits=bits,
            output_bits=output_bits,
        )

    def per_head(
        name: str,
        kind: str,
        cols: int,
        inner: int,
        input_bits: int,
        output_bits: int,
        log2_codes: bool = False,
    ) -> Operation:
        return Operation(
            prefix + name,
            kind,  # type: ignore[arg-type]
            "attention",
            block,
            shape.tokens,
            cols,
            inner,
            instances,
            shape.heads,
            input_bits=input_bits,
            output_bits=output_bits,
            log2_codes=log2_codes,
        )

    log2 = precision.log2_attention
    operations = []
    for name in ("attn.q", "attn.k"):
        operations.append(linear(name, UNROTATED_BITS if shape.rotary else 8))
        if shape.rotary:
            operations.append(per_head(f"{name}.rotary", "rotary", head_dim, 0, UNROTATED_BITS, 8))
    operations.append(linear("attn.v"))
    operations.append(per_head("attn.scores", "scores", shape.tokens, head_dim, 8, ACCUMULATOR_BITS))
    if shape.score_bias:
        operations.append(
            per_head("attn.score_bias", "score_bias", shape.tokens, 0, ACCUMULATOR_BITS, ACCUMULATOR_BITS)
        )
    operations.append(per_head("attn.softmax", "softmax", shape.tokens, 0, ACCUMULATOR_BITS, code_bits, log2))
    operations.append(per_head("attn.values", "attention_values", head_dim, shape.tokens, 8, 8, log2))
    operations.append(linear("attn.proj", RESIDUAL_BITS))
    return operations


def tables(hidden: int) -> int:
    """Return the number of GELU tables that quantization makes by default for an MLP."""
    return hidden // TABLE_COLUMNS if hidden % TABLE_COLUMNS == 0 else 1


def mlp(prefix: str, block: int, rows: int, shape: BlockShape, precision: Precision) -> list[Operation]:
    """Make the second half of a block: LayerNorm, FC1, activation table, a gate's operations, FC2, add."""
    dim, hidden = shape.dim, shape.mlp_dim

    def op(name: str, kind: str, cols: int, inner: int = 0, **more: int) -> Operation:
        return Operation(prefix + name, kind, "mlp", block, rows, cols, inner, **more)  # type: ignore[arg-type]

    gate: list[Operation] = []
    if shape.gated_mlp:
        gate.append(op("mlp.up", "linear", hidden, dim, weight_bits=precision.of(prefix + "mlp.up")))
        gate.append(op("mlp.gated", "multiply", hidden, output_bits=RESIDUAL_BITS if shape.mlp_norm else 8))
    if shape.mlp_norm:
        gate.append(op("mlp.norm", "layernorm", hidden, input_bits=RESIDUAL_BITS))
    return [
        op("norm2", "layernorm", dim, input_bits=RESIDUAL_BITS),
        op("mlp.fc1", "linear", hidden, dim, weight_bits=precision.of(prefix + "mlp.fc1")),
        op("mlp.gelu", "lookup", hidden, tables=tables(hidden)),
        *gate,
        op(
            "mlp.fc2",
            "linear",
            dim,
            hidden,
            weight_bits=precision.of(prefix + "mlp.fc2"),
            output_bits=RESIDUAL_BITS,
        ),
        op("add2", "add", dim, input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS),
    ]


def residual_ops(
    prefix: str, block: int, rows: int, dim: int, part: NetworkPart = "attention"
) -> tuple[Operation, Operation]:
    """Make the LayerNorm before an attention layer and the add after it."""
    norm = Operation(prefix + "norm1", "layernorm", part, block, rows, dim, input_bits=RESIDUAL_BITS)
    add = Operation(
        prefix + "add1", "add", part, block, rows, dim, input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS
    )
    return norm, add


def tail(
    rows: int, dim: int, classes: int, *, average: bool, precision: Precision, vectors: int = 1
) -> list[Operation]:
    """Make the operations from the residual stream to the logits: pooling, LayerNorm, affine, head."""
    tail_ops = [
        Operation(
            "pool",
            "pool" if average else "move",
            "head",
            -1,
            rows if average else vectors,
            dim,
            input_bits=RESIDUAL_BITS,
            output_bits=RESIDUAL_BITS,
        ),
        Operation(
            "norm", "layernorm", "head", -1, vectors, dim, input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS
        ),
        Operation("feature", "affine", "head", -1, 1, dim * vectors, input_bits=RESIDUAL_BITS),
    ]
    if classes:
        bits = precision.of("head")
        tail_ops.append(
            Operation(
                "head",
                "linear",
                "head",
                -1,
                1,
                classes,
                dim * vectors,
                weight_bits=bits,
                output_bits=ACCUMULATOR_BITS,
            )
        )
    return tail_ops


def pooling_head(config: ViTConfig, precision: Precision) -> list[Operation]:
    """Make SigLIP's attention pooling head: LayerNorm, a constant query that attends to all tokens, and an MLP."""
    tokens, dim, hidden, heads = config.tokens, config.embed_dim, config.mlp_dim, config.heads
    log2 = precision.log2_attention
    wide = {"input_bits": ACCUMULATOR_BITS}

    def op(name: str, kind: str, rows: int, cols: int, inner: int = 0, **more: int) -> Operation:
        return Operation(name, kind, "head", -1, rows, cols, inner, **more)  # type: ignore[arg-type]

    def linear(name: str, rows: int, cols: int, inner: int, output_bits: int = 8) -> Operation:
        return op(name, "linear", rows, cols, inner, weight_bits=precision.of(name), output_bits=output_bits)

    def per_head(name: str, kind: str, cols: int, inner: int = 0, **more: int) -> Operation:
        return op(name, kind, 1, cols, inner, instances=heads, heads=heads, **more)

    return [
        op("norm", "layernorm", tokens, dim, input_bits=RESIDUAL_BITS),
        op("pool.q", "tokens", 1, dim),
        linear("pool.k", tokens, dim, dim),
        linear("pool.v", tokens, dim, dim),
        per_head("pool.scores", "scores", tokens, dim // heads, output_bits=ACCUMULATOR_BITS),
        per_head("pool.softmax", "softmax", tokens, output_bits=4 if log2 else 8, log2_codes=log2, **wide),
        per_head("pool.values", "attention_values", dim // heads, tokens, log2_codes=log2),
        linear("pool.proj", 1, dim, dim, RESIDUAL_BITS),
        op("pool.norm", "layernorm", 1, dim, input_bits=RESIDUAL_BITS),
        linear("pool.fc1", 1, hidden, dim),
        op("pool.gelu", "lookup", 1, hidden, tables=tables(hidden)),
        linear("pool.fc2", 1, dim, hidden, RESIDUAL_BITS),
        op("pool.add", "add", 1, dim, input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS),
    ]


def vit_workload(config: ViTConfig, precision: Precision | None = None) -> Workload:
    """Make the workload of a plain ViT for one image.

    Args:
        config: Shape of the model.
        precision: Weight widths and softmax form; None means 8-bit weights and log2 attention.

    Returns:
        Operations in program order.

    Raises:
        AccelError: ``precision`` names a layer that the model does not have.
    """
    precision = precision or Precision()
    tokens, dim = config.tokens, config.embed_dim
    patches = config.grid[0] * config.grid[1]
    operations = [
        Operation("patches", "move", "embedding", -1, patches, config.patch_dim),
        Operation(
            "patch_embed", "linear", "embedding", -1, patches, dim, config.patch_dim,
            weight_bits=precision.of("patch_embed"), output_bits=RESIDUAL_BITS,
        ),
        Operation(
            "tokens", "tokens", "embedding", -1, tokens, dim,
            input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS,
        ),
    ]  # fmt: skip
    if config.pre_norm:
        operations.append(
            Operation(
                "pre_norm",
                "layernorm",
                "embedding",
                -1,
                tokens,
                dim,
                input_bits=RESIDUAL_BITS,
                output_bits=RESIDUAL_BITS,
            )
        )
    shape = AttentionShape(dim, config.heads, 1, tokens, rotary=config.rope != "none")
    for block in range(config.depth):
        prefix = f"blocks.{block}."
        norm, add = residual_ops(prefix, block, tokens, dim)
        operations += [norm, *attention(prefix, block, shape, precision), add]
        operations += mlp(prefix, block, tokens, config.blocks[block], precision)
    average, vectors = config.pool in ("avg", "token_avg"), config.feature_dim // dim
    last = tail(patches, dim, config.num_classes, average=average, precision=precision, vectors=vectors)
    if config.pool == "attention":
        operations += pooling_head(config, precision)
        last = [op for op in last if op.name not in ("pool", "norm")]
    operations += last
    height, width = config.image_size
    workload = Workload(config.name, tuple(operations), height * width * 3, tokens * dim * RESIDUAL_BITS // 8)
    precision.check_names(workload)
    return workload
