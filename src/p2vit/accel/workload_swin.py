"""The workload of a Swin Transformer: windows, shifts and patch merging all cost something."""

from dataclasses import dataclass

from p2vit.accel.workload import Operation, Workload
from p2vit.accel.workload_vit import (
    RESIDUAL_BITS,
    AttentionShape,
    Precision,
    attention,
    mlp,
    residual_ops,
    tail,
)


@dataclass(frozen=True)
class SwinConfig:
    """Shape of a Swin Transformer (Liu et al., ICCV 2021, table 7).

    Attributes:
        name: What users type.
        embed_dim: Channels of the first stage; each later stage doubles them.
        depths: Blocks per stage.
        heads: Heads per stage; head_dim is 32 in every published model.
        image_size: Side of the square image, pixels.
        patch_size: Side of a patch, pixels.
        window: Side of a window, patches; shrinks to the stage's grid where that is smaller.
        mlp_ratio: Hidden over embedding channels.
        num_classes: Outputs of the head.
    """

    name: str
    embed_dim: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    image_size: int = 224
    patch_size: int = 4
    window: int = 7
    mlp_ratio: int = 4
    num_classes: int = 1000


def swin_workload(config: SwinConfig, precision: Precision | None = None) -> Workload:
    """Every operation of a Swin Transformer on one image.

    Rows of window attention stand window by window, so that partition and its inverse are one move each; the
    cyclic shift of every second block goes into the same two moves (a permutation of a permutation).

    Args:
        config: The shape.
        precision: Bits; default 8-bit weights and log2 attention.

    Returns:
        Operations in program order.
    """
    precision = precision or Precision()
    grid, dim = config.image_size // config.patch_size, config.embed_dim
    operations = [
        Operation("patches", "move", "embedding", -1, grid * grid, config.patch_size**2 * 3),
        Operation(
            "patch_embed", "linear", "embedding", -1, grid * grid, dim, config.patch_size**2 * 3,
            weight_bits=precision.of("patch_embed"), output_bits=RESIDUAL_BITS,
        ),
        Operation(
            "patch_norm", "layernorm", "embedding", -1, grid * grid, dim,
            input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS,
        ),
    ]  # fmt: skip
    block = 0
    for stage, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True)):
        if stage:
            grid, dim = grid // 2, dim * 2
            operations += _merging(stage, grid, dim, precision)
        window = min(config.window, grid)
        shape = AttentionShape(dim, heads, (grid // window) ** 2, window * window, score_bias=True)
        for _ in range(depth):
            operations += _block(
                f"blocks.{block}.", block, grid * grid, shape, config.mlp_ratio * dim, precision
            )
            block += 1
    # Swin normalises every token, then averages; the pool reads what the norm wrote.
    norm = Operation("norm", "layernorm", "head", -1, grid * grid, dim, input_bits=RESIDUAL_BITS)
    last = tail(grid * grid, dim, config.num_classes, average=True, precision=precision)
    operations += [norm, *(op for op in last if op.name != "norm")]
    pixels = config.image_size**2 * 3
    workload = Workload(config.name, tuple(operations), pixels)
    precision.check_names(workload)
    return workload


def _block(
    prefix: str, block: int, rows: int, shape: AttentionShape, hidden: int, precision: Precision
) -> list[Operation]:
    norm, add = residual_ops(prefix, block, rows, shape.dim)
    into_windows = Operation(prefix + "attn.partition", "move", "attention", block, rows, shape.dim)
    back = Operation(
        prefix + "attn.reverse", "move", "attention", block, rows, shape.dim,
        input_bits=RESIDUAL_BITS, output_bits=RESIDUAL_BITS,
    )  # fmt: skip
    heart = attention(prefix, block, shape, precision)
    return [norm, into_windows, *heart, back, add, *mlp(prefix, block, rows, shape.dim, hidden, precision)]


def _merging(stage: int, grid: int, dim: int, precision: Precision) -> list[Operation]:
    """2×2 neighbours side by side (4C), LayerNorm, linear to 2C; ``grid`` and ``dim`` are those after
    merging.
    """
    prefix, rows = f"merge{stage}.", grid * grid
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
