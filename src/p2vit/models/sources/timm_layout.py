"""Convert state dicts in timm's layout (also DeiT's and DINOv2's own releases) to canonical names. Pure functions."""

from collections.abc import Mapping

import torch
from torch import Tensor

from p2vit.models.config import ViTConfig
from p2vit.models.rotary import interleaved
from p2vit.models.sources.position import full_positions
from p2vit.models.sources.reader import StateReader, patch_linear
from p2vit.models.sources.relative_position import TABLE, copy_tables


def is_timm(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is in timm's layout.

    Args:
        state: Any state dict.

    Returns:
        Whether block 0 has a fused query, key and value layer, or EVA's separate ones.
    """
    return "blocks.0.attn.qkv.weight" in state or "blocks.0.attn.q_proj.weight" in state


def canonical_from_timm(
    state: Mapping[str, Tensor], config: ViTConfig, source: str, *, from_file: bool = True
) -> dict[str, Tensor]:
    """Convert a state dict: rename, split the fused qkv, fold LayerScale, and make one position row per token.

    Args:
        state: timm's names -> tensors.
        config: Expected shape.
        source: Name of the source for error messages.
        from_file: Whether the tensors come from a weight file, which may be for another grid of patches, and not from
            a model in memory.

    Returns:
        Canonical names -> float32 tensors.

    Raises:
        ModelError: A tensor is missing, superfluous, of a wrong shape or not finite.
    """
    read = StateReader(state, source)
    C, p = config.embed_dim, config.patch_size
    # The mask token is only used in training with masked images.
    read.drop("mask_token", "*relative_position_index")
    out = {
        "patch_embed.weight": patch_linear(read.take("patch_embed.proj.weight", (C, 3, p, p))),
        "patch_embed.bias": read.take_or("patch_embed.proj.bias", (C,)),
        "prefix": _prefix(read, config),
    }
    positions = read.take_positions("pos_embed", C)
    out["position"] = full_positions(positions, config.prefix_tokens, config.grid, C, antialias=True)
    if config.pre_norm:
        read.copy(out, "norm_pre", "pre_norm", (C,))
    for index in range(config.depth):
        _block(read, out, f"blocks.{index}", config)
    if config.relative_positions:
        tables = (f"blocks.{{}}.attn.{TABLE}", f"rel_pos_bias.{TABLE}")
        copy_tables(read, out, tables, config, "timm", from_file=from_file)
    if config.pool == "attention":
        _pool(read, out, config)
    last = "fc_norm" if "fc_norm.weight" in read else "norm"
    read.copy(out, last, "norm", (C,))
    if config.num_classes and config.pool == "token_dist":
        copy_mean_of_heads(read, out, ("head", "head_dist"), config)
    elif config.num_classes:
        read.copy(out, "head", "head", (config.num_classes, config.feature_dim))
    else:
        read.drop("head.weight", "head.bias")
    read.finish(config.name)
    return out


def _prefix(read: StateReader, config: ViTConfig) -> Tensor:
    """Read the class token and registers, float [prefix_tokens, C]."""
    rows = []
    if config.class_token:
        rows.append(read.take("cls_token", (1, config.embed_dim)))
    if config.register_tokens and "dist_token" in read:
        rows.append(read.take("dist_token", (1, config.embed_dim)))
    elif config.register_tokens:
        name = "register_tokens" if "register_tokens" in read else "reg_token"
        rows.append(read.take(name, (config.register_tokens, config.embed_dim)))
    return torch.cat(rows) if rows else torch.zeros(0, config.embed_dim)


def _block(read: StateReader, out: dict[str, Tensor], name: str, config: ViTConfig) -> None:
    """Convert one encoder block. Missing biases become zeros."""
    C, hidden = config.embed_dim, config.mlp_dim
    read.copy(out, f"{name}.norm1", f"{name}.norm1", (C,))
    read.copy(out, f"{name}.norm2", f"{name}.norm2", (C,))
    _queries_keys_values(read, out, name, config)
    read.copy(out, f"{name}.attn.proj", f"{name}.proj", (C, C))
    if not config.gated_mlp:
        read.copy(out, f"{name}.mlp.fc1", f"{name}.fc1", (hidden, C))
    elif f"{name}.mlp.fc1_g.weight" in read:
        read.copy(out, f"{name}.mlp.fc1_g", f"{name}.fc1", (hidden, C))
        read.copy(out, f"{name}.mlp.fc1_x", f"{name}.up", (hidden, C))
    else:
        read.copy_parts(out, f"{name}.mlp.fc1", [f"{name}.fc1", f"{name}.up"], (hidden, C))
    if config.mlp_norm:
        read.copy(out, f"{name}.mlp.norm", f"{name}.mlp_norm", (hidden,))
    read.copy(out, f"{name}.mlp.fc2", f"{name}.fc2", (C, hidden))
    # LayerScale: timm's name, and the name in the releases of DeiT III and BEiT.
    for number, linear in ((1, "proj"), (2, "fc2")):
        for scale in (f"{name}.ls{number}.gamma", f"{name}.gamma_{number}"):
            fold_layer_scale(out, f"{name}.{linear}", read.take_or(scale, (C,), fill=1.0))


def _queries_keys_values(read: StateReader, out: dict[str, Tensor], name: str, config: ViTConfig) -> None:
    """The three linears, fused or not; EVA's keys have no bias, and its others stand beside the weight."""
    C, letters = config.embed_dim, [f"{name}.{letter}" for letter in "qkv"]
    if f"{name}.attn.q_proj.weight" in read:
        for letter in "qkv":
            read.copy(out, f"{name}.attn.{letter}_proj", f"{name}.{letter}", (C, C))
    else:
        read.copy_fused(out, f"{name}.attn.qkv", letters, C)
        for letter in "qkv":
            if f"{name}.attn.{letter}_bias" in read:
                out[f"{name}.{letter}.bias"] = read.take(f"{name}.attn.{letter}_bias", (C,))
    reorder_pairs(out, name, config)


def reorder_pairs(out: dict[str, Tensor], block: str, config: ViTConfig) -> None:
    """Make neighbours of the channels that DINOv3 turns together, in place in the dict.

    Args:
        out: Canonical tensors.
        block: Name of the block.
        config: The shape.
    """
    if config.rope == "dinov3":
        for letter in "qk":
            for kind in ("weight", "bias"):
                key = f"{block}.{letter}.{kind}"
                out[key] = interleaved(out[key], config.heads)


def copy_mean_of_heads(
    read: StateReader, out: dict[str, Tensor], heads: tuple[str, str], config: ViTConfig
) -> None:
    """Merge two heads whose mean is the model's output into one linear layer on both features, concatenated.

    Args:
        read: The source state dict.
        out: Canonical tensors; the merged head is added.
        heads: Names of the head on the class token and the head on the distillation token.
        config: Shape of the network.
    """
    taken: dict[str, Tensor] = {}
    for name in heads:
        read.copy(taken, name, name, (config.num_classes, config.embed_dim))
    out["head.weight"] = torch.cat([taken[f"{name}.weight"] for name in heads], dim=1) / 2
    out["head.bias"] = (taken[f"{heads[0]}.bias"] + taken[f"{heads[1]}.bias"]) / 2


def fold_layer_scale(out: dict[str, Tensor], linear: str, gamma: Tensor) -> None:
    """Multiply the output channels of a linear layer by LayerScale factors.

    Args:
        out: Canonical tensors; the layer's weight and bias are replaced.
        linear: Name of the layer.
        gamma: Factors, float [output channels].
    """
    out[f"{linear}.weight"] = out[f"{linear}.weight"] * gamma[:, None]
    out[f"{linear}.bias"] = out[f"{linear}.bias"] * gamma


def _pool(read: StateReader, out: dict[str, Tensor], config: ViTConfig) -> None:
    """Convert SigLIP's pooling head. The projection of its query (latent) is a constant, so it is computed here."""
    C, hidden, new = config.embed_dim, config.mlp_dim, "attention_pool"
    latent = read.take("attn_pool.latent", (C,))
    out[f"{new}.query"] = read.take("attn_pool.q.weight", (C, C)) @ latent
    out[f"{new}.query"] += read.take_or("attn_pool.q.bias", (C,))
    read.copy_fused(out, "attn_pool.kv", [f"{new}.k", f"{new}.v"], C)
    read.copy(out, "attn_pool.proj", f"{new}.proj", (C, C))
    read.copy(out, "attn_pool.norm", f"{new}.norm2", (C,))
    read.copy(out, "attn_pool.mlp.fc1", f"{new}.fc1", (hidden, C))
    read.copy(out, "attn_pool.mlp.fc2", f"{new}.fc2", (C, hidden))
