"""Workload of a Swin Transformer, with the cost of windows, shifts and patch merging."""

from p2vit.accel.workload.operations import Operation, Workload
from p2vit.accel.workload.vit import (
    RESIDUAL_BITS,
    AttentionShape,
    Precision,
    attention,
    mlp,
    residual_ops,
    tail,
)
from p2vit.models.swin_config import SwinConfig
from p2vit.models.windows import BlockShape


def swin_workload(config: SwinConfig, precision: Precision | None = None) -> Workload:
    """Make the workload of a Swin Transformer for one image.

    Rows of window attention are ordered window by window, so window partition and its inverse are one move each. The
    cyclic shift of every second block is part of the same two moves.

    Args:
        config: Shape of the model.
        precision: Weight widths and softmax form; None means 8-bit weights and log2 attention.

    Returns:
        Operations in program order.
    """
    precision = precision or Precision()
    tokens, dim = config.tokens, config.embed_dim
    operations = [
        Operation("patches", "move", "embedding", -1, tokens, config.patch_dim),
        Operation(
            "patch_embed", "linear", "embedding", -1, tokens, dim, config.patch_dim,
            weight_bits=precision.of("patch_embed"), output_bits=RESIDUAL_BITS,
        ),
        Operation(
            "patch_norm", "layernorm", "embedding", -1, tokens, dim,
            input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS,
        ),
    ]  # fmt: skip
    stage = 0
    for block, shape in enumerate(config.blocks):
        windows = shape.windows
        assert windows is not None
        tokens, dim = shape.tokens, shape.dim
        if shape.merge is not None:
            stage += 1
            operations += _merging(stage, tokens, dim, precision)
        heart = AttentionShape(dim, shape.heads, windows.count, windows.area, score_bias=True)
        operations += _block(f"blocks.{block}.", block, tokens, heart, shape, precision)
    # Swin normalises every token before it averages them, so the pooling reads the output of the LayerNorm.
    norm = Operation("norm", "layernorm", "head", -1, tokens, dim, input_bits=RESIDUAL_BITS)
    last = tail(tokens, dim, config.num_classes, average=True, precision=precision)
    operations += [norm, *(op for op in last if op.name != "norm")]
    pixels = config.image_size[0] * config.image_size[1] * 3
    workload = Workload(config.name, tuple(operations), pixels)
    precision.check_names(workload)
    return workload


def _block(
    prefix: str, block: int, rows: int, shape: AttentionShape, whole: BlockShape, precision: Precision
) -> list[Operation]:
    norm, add = residual_ops(prefix, block, rows, shape.dim)
    into_windows = Operation(prefix + "attn.partition", "move", "attention", block, rows, shape.dim)
    back = Operation(
        prefix + "attn.reverse", "move", "attention", block, rows, shape.dim,
        input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS,
    )  # fmt: skip
    heart = attention(prefix, block, shape, precision)
    return [norm, into_windows, *heart, back, add, *mlp(prefix, block, rows, whole, precision)]


def _merging(stage: int, rows: int, dim: int, precision: Precision) -> list[Operation]:
    """Make the operations of patch merging: gather 2×2 neighbours (4C), LayerNorm, linear layer to 2C channels.

    ``rows`` and ``dim`` are those after merging.
    """
    prefix = f"merge{stage}."
    bits = precision.of(prefix + "reduction")
    return [
        Operation(
            prefix + "gather",
            "move",
            "merge",
            -1,
            rows,
            2 * dim,
            input_bits=RESIDUAL_BITS,
            output_bits=RESIDUAL_BITS,
        ),
        Operation(prefix + "norm", "layernorm", "merge", -1, rows, 2 * dim, input_bits=RESIDUAL_BITS),
        Operation(
            prefix + "reduction",
            "linear",
            "merge",
            -1,
            rows,
            dim,
            2 * dim,
            weight_bits=bits,
            output_bits=RESIDUAL_BITS,
        ),
    ]
