"""Shape of timm's ``Eva``: EVA-02, DINOv3 and other plain ViTs with rotary positions."""

from typing import Any

from torch import nn

from p2vit.errors import ModelError
from p2vit.models.config import ViTConfig
from p2vit.models.rotary import Rope
from p2vit.models.sources.timm_blocks import activation_of, check_blocks, gated


def eva_config(model: nn.Module, name: str) -> ViTConfig:
    """Read the shape off a timm model.

    What shows in the names of tensors (a LayerNorm on the attention output, normalised queries) is refused
    later, when the tensors are read.

    Args:
        model: timm's ``Eva``.
        name: timm's name for it.

    Returns:
        The shape.

    Raises:
        ModelError: naming the piece that is not supported.
    """
    eva: Any = model
    block = eva.blocks[0]
    if type(block).__name__ != "EvaBlock":
        raise ModelError(f"timm's {name}: blocks of type {type(block).__name__} are not supported")
    if type(block.attn).__name__ != "EvaAttention":
        raise ModelError(f"timm's {name}: attention of type {type(block.attn).__name__} is not supported")
    if block.attn.head_dim * block.attn.num_heads != eva.embed_dim:
        raise ModelError(f"timm's {name}: attention of another width than the stream is not supported")
    if eva.global_pool not in ("token", "avg"):
        raise ModelError(f"timm's {name}: pooling '{eva.global_pool}' is not supported; token and avg are")
    before = isinstance(eva.norm, nn.Identity)
    last = eva.fc_norm if before else eva.norm
    for layer in (last, block.norm1):
        if not isinstance(layer, nn.LayerNorm):
            raise ModelError(f"timm's {name}: {type(layer).__name__} where a LayerNorm is needed")
    if not before and not isinstance(eva.fc_norm, nn.Identity):
        raise ModelError(f"timm's {name}: two norms before the head are not supported")
    check_blocks(eva, last, name)
    height, width = eva.patch_embed.img_size
    is_gated = gated(block.mlp, name)
    rope, temperature, reference = rope_of(eva, name)
    return ViTConfig(
        name=name,
        image_size=(height, width),
        patch_size=eva.patch_embed.patch_size[0],
        embed_dim=eva.embed_dim,
        depth=len(eva.blocks),
        heads=block.attn.num_heads,
        mlp_dim=block.mlp.fc2.in_features,
        num_classes=eva.head.out_features if isinstance(eva.head, nn.Linear) else 0,
        class_token=eva.cls_token is not None,
        register_tokens=eva.num_prefix_tokens - int(eva.cls_token is not None),
        activation=activation_of(block.mlp.act, name),
        pool=eva.global_pool,
        pre_norm=not isinstance(eva.norm_pre, nn.Identity),
        pool_before_norm=before and eva.global_pool == "avg",
        norm_eps=block.norm1.eps,
        rope=rope,
        rope_temperature=temperature,
        rope_reference=reference,
        gated_mlp=is_gated,
        mlp_norm=is_gated and not isinstance(block.mlp.norm, nn.Identity),
    )


def rope_of(eva: Any, name: str) -> tuple[Rope, float, int]:
    """Kind, temperature and reference grid of the rotary position embedding.

    Raises:
        ModelError: naming what of it is not supported.
    """
    rope = eva.rope
    if rope is None:
        return "none", 10000.0, 0
    kind = type(rope).__name__
    if kind not in ("RotaryEmbeddingCat", "RotaryEmbeddingDinoV3"):
        raise ModelError(f"timm's {name}: rotary position embedding of type {kind} is not supported")
    if rope.grid_offset or rope.grid_indexing != "ij" or rope.normalize_coords != "separate":
        raise ModelError(
            f"timm's {name}: rotary positions with an offset, with columns first (xy) or normalised together are "
            "not supported"
        )
    half = bool(getattr(eva.blocks[0].attn, "rotate_half", False))
    if half != (kind == "RotaryEmbeddingDinoV3"):
        raise ModelError(f"timm's {name}: rope_rotate_half={half} with {kind} is not supported")
    if kind == "RotaryEmbeddingDinoV3":
        if rope.temperature is None or rope.min_period is not None:
            raise ModelError(f"timm's {name}: rotary positions with stated periods are not supported")
        return "dinov3", float(rope.temperature), 0
    if rope.in_pixels or rope.grid_type != "index":
        raise ModelError(f"timm's {name}: rotary positions in pixels are not supported")
    sides = rope.ref_feat_shape or (0, 0)
    if sides[0] != sides[1]:
        raise ModelError(f"timm's {name}: a reference grid that is not square ({sides}) is not supported")
    return "axial", float(rope.temperature), int(sides[0])
