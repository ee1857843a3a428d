"""Shape of timm's ``Eva``: EVA-02, DINOv3 and other plain ViTs with rotary positions."""

from typing import Any

from torch import nn

from p2vit.errors import ModelError
from p2vit.models.config import ViTConfig
from p2vit.models.sources.timm_blocks import activation_of, check_blocks, gated, pool_heads


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
    if type(block.attn).__name__ not in ("EvaAttention", "AttentionRope"):
        raise ModelError(f"timm's {name}: attention of type {type(block.attn).__name__} is not supported")
    if block.attn.head_dim * block.attn.num_heads != eva.embed_dim:
        raise ModelError(f"timm's {name}: attention of another width than the stream is not supported")
    if getattr(block.attn, "num_kv_heads", block.attn.num_heads) != block.attn.num_heads:
        raise ModelError(f"timm's {name}: fewer heads of keys and values than of queries are not supported")
    if eva.global_pool not in ("token", "avg", "map"):
        raise ModelError(
            f"timm's {name}: pooling '{eva.global_pool}' is not supported; token, avg and map are"
        )
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
        pool="attention" if eva.global_pool == "map" else eva.global_pool,
        pool_heads=pool_heads(eva, name) if eva.global_pool == "map" else 0,
        pre_norm=not isinstance(eva.norm_pre, nn.Identity),
        pool_before_norm=before and eva.global_pool == "avg",
        norm_eps=block.norm1.eps,
        **rope_of(eva, name),
        gated_mlp=is_gated,
        mlp_norm=is_gated and not isinstance(block.mlp.norm, nn.Identity),
    )


def rope_of(eva: Any, name: str) -> dict[str, Any]:
    """Return the fields of `ViTConfig` that describe the rotary position embedding.

    Raises:
        ModelError: naming what of it is not supported.
    """
    rope = eva.rope
    if rope is None:
        return {}
    kind = type(rope).__name__
    if kind not in ("RotaryEmbeddingCat", "RotaryEmbeddingDinoV3"):
        raise ModelError(f"timm's {name}: rotary position embedding of type {kind} is not supported")
    if rope.normalize_coords != "separate":
        raise ModelError(f"timm's {name}: rotary positions normalised together are not supported")
    half = bool(getattr(eva.blocks[0].attn, "rotate_half", False))
    if half != (kind == "RotaryEmbeddingDinoV3"):
        raise ModelError(f"timm's {name}: rope_rotate_half={half} with {kind} is not supported")
    if kind == "RotaryEmbeddingDinoV3":
        if rope.grid_offset or rope.grid_indexing != "ij":
            raise ModelError(
                f"timm's {name}: rotary positions of DINOv3 with an offset or with columns first (xy) are not "
                "supported"
            )
        if rope.temperature is None or rope.min_period is not None:
            raise ModelError(f"timm's {name}: rotary positions with stated periods are not supported")
        return {"rope": "dinov3", "rope_temperature": float(rope.temperature)}
    if rope.in_pixels or rope.grid_type != "index":
        raise ModelError(f"timm's {name}: rotary positions in pixels are not supported")
    sides = rope.ref_feat_shape or (0, 0)
    if sides[0] != sides[1]:
        raise ModelError(f"timm's {name}: a reference grid that is not square ({sides}) is not supported")
    return {
        "rope": "axial",
        "rope_temperature": float(rope.temperature),
        "rope_reference": int(sides[0]),
        "rope_offset": float(rope.grid_offset),
        "rope_columns_first": rope.grid_indexing == "xy",
    }
