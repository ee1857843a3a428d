"""Shape of timm's ``Beit``: BEiT and BEiT v2, plain ViTs with relative position bias."""

from typing import Any

from torch import nn

from p2vit.errors import ModelError
from p2vit.models.config import ViTConfig
from p2vit.models.sources.timm_blocks import activation_of, check_blocks, gated


def beit_config(model: nn.Module, name: str) -> ViTConfig:
    """Read the shape of a timm model.

    Args:
        model: timm's ``Beit``.
        name: timm's name of the model.

    Returns:
        The shape.

    Raises:
        ModelError: The model has an unsupported part. The message names it.
    """
    beit: Any = model
    block = beit.blocks[0]
    if type(block).__name__ != "Block":
        raise ModelError(f"timm's {name}: blocks of type {type(block).__name__} are not supported")
    if block.attn.qkv.out_features != 3 * beit.embed_dim:
        raise ModelError(
            f"timm's {name}: attention with a width different from the residual stream (attn_head_dim) is not supported"
        )
    if beit.global_pool not in ("token", "avg"):
        raise ModelError(f"timm's {name}: pooling '{beit.global_pool}' is not supported, only token and avg")
    before = isinstance(beit.norm, nn.Identity)
    last = beit.fc_norm if before else beit.norm
    for layer in (last, block.norm1):
        if not isinstance(layer, nn.LayerNorm):
            raise ModelError(f"timm's {name}: {type(layer).__name__} is not supported, only LayerNorm")
    check_blocks(beit, last, name)
    height, width = beit.patch_embed.img_size
    is_gated = gated(block.mlp, name)
    return ViTConfig(
        name=name,
        image_size=(height, width),
        patch_size=beit.patch_embed.patch_size[0],
        embed_dim=beit.embed_dim,
        depth=len(beit.blocks),
        heads=block.attn.num_heads,
        mlp_dim=block.mlp.fc2.in_features,
        num_classes=beit.head.out_features if isinstance(beit.head, nn.Linear) else 0,
        activation=activation_of(block.mlp.act, name),
        pool=beit.global_pool,
        pool_before_norm=before and beit.global_pool == "avg",
        norm_eps=block.norm1.eps,
        gated_mlp=is_gated,
        mlp_norm=is_gated and not isinstance(block.mlp.norm, nn.Identity),
        relative_positions=beit.rel_pos_bias is not None
        or block.attn.relative_position_bias_table is not None,
    )
