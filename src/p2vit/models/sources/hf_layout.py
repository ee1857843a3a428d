"""Convert state dicts in Hugging Face's layouts to canonical names. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.config import ViTConfig
from p2vit.models.sources.position import full_positions
from p2vit.models.sources.reader import StateReader, patch_linear
from p2vit.models.sources.relative_position import TABLE, copy_tables
from p2vit.models.sources.timm_layout import copy_mean_of_heads, fold_layer_scale, reorder_pairs


@dataclass(frozen=True)
class Family:
    """Tensor names of one family of models.

    Attributes:
        prefix: Prefix of the encoder's names in a model with a head.
        layer: Prefix of block ``{}``.
        norm1, norm2, q, k, v, proj, fc1, fc2: Names below ``layer``.
        norm: Name of the last LayerNorm.
        pre_norm: Name of the LayerNorm after the embedding, or empty.
        class_token, positions, patch: Names below ``prefix``.
        scale1, scale2: Names of the LayerScale factors below ``layer``, or empty.
        antialias: Whether the library resamples position embeddings with antialiasing.
        head: Name of the linear layer on the pooled token, without prefix.
        gate, up: Names of a gated MLP's layers below ``layer``; ``gate`` takes the place of ``fc1``.
        packed: Names of gate and linear branch in one tensor, and of the last layer, below ``layer``; or None.
        unused: Patterns of tensors that the output does not depend on.
        table: Name of the relative position table below ``layer``, or empty.
        shared_table: Name of the relative position table that all blocks share, or empty.
        mean_norm: Name of the last LayerNorm of a model that applies it to the mean of the patches.
        optional_scales: Whether the LayerScale factors may be missing.
    """

    prefix: str
    layer: str = "encoder.layer.{}."
    norm1: str = "layernorm_before"
    norm2: str = "layernorm_after"
    q: str = "attention.attention.query"
    k: str = "attention.attention.key"
    v: str = "attention.attention.value"
    proj: str = "attention.output.dense"
    fc1: str = "intermediate.dense"
    fc2: str = "output.dense"
    norm: str = "layernorm"
    pre_norm: str = ""
    antialias: bool = False
    class_token: str = "embeddings.cls_token"
    positions: str = "embeddings.position_embeddings"
    patch: str = "embeddings.patch_embeddings.projection"
    scale1: str = ""
    scale2: str = ""
    head: str = "classifier"
    gate: str = ""
    up: str = ""
    packed: tuple[str, str] | None = None
    unused: tuple[str, ...] = ("*embeddings.mask_token", "*pooler.dense.*")
    table: str = ""
    shared_table: str = ""
    mean_norm: str = ""
    optional_scales: bool = False


def _dinov2(prefix: str, antialias: bool) -> Family:
    """Return the names of DINOv2, with or without registers."""
    return Family(
        prefix,
        antialias=antialias,
        norm1="norm1",
        norm2="norm2",
        fc1="mlp.fc1",
        fc2="mlp.fc2",
        scale1="layer_scale1.lambda1",
        scale2="layer_scale2.lambda1",
        packed=("mlp.weights_in", "mlp.weights_out"),
    )


# model_type in config.json -> names.
FAMILIES = {
    "vit": Family("vit."),
    "deit": Family("deit."),
    "dinov2": _dinov2("dinov2.", antialias=False),
    "dinov2_with_registers": _dinov2("dinov2_with_registers.", antialias=True),
    "dinov3_vit": Family(
        "",
        layer="layer.{}.",
        norm1="norm1",
        norm2="norm2",
        q="attention.q_proj",
        k="attention.k_proj",
        v="attention.v_proj",
        proj="attention.o_proj",
        fc1="mlp.up_proj",
        fc2="mlp.down_proj",
        gate="mlp.gate_proj",
        up="mlp.up_proj",
        norm="norm",
        positions="",
        patch="embeddings.patch_embeddings",
        scale1="layer_scale1.lambda1",
        scale2="layer_scale2.lambda1",
    ),
    "clip": Family(
        "vision_model.",
        layer="encoder.layers.{}.",
        norm1="layer_norm1",
        norm2="layer_norm2",
        q="self_attn.q_proj",
        k="self_attn.k_proj",
        v="self_attn.v_proj",
        proj="self_attn.out_proj",
        fc1="mlp.fc1",
        fc2="mlp.fc2",
        norm="post_layernorm",
        pre_norm="pre_layrnorm",  # every released checkpoint has this spelling
        class_token="embeddings.class_embedding",
        positions="embeddings.position_embedding.weight",
        patch="embeddings.patch_embedding",
        head="visual_projection",
        unused=("text_model.*", "text_projection.*", "logit_scale", "*.position_ids"),
    ),
}
FAMILIES["clip_vision_model"] = FAMILIES["clip"]
FAMILIES["siglip"] = replace(
    FAMILIES["clip"],
    pre_norm="",
    class_token="",
    head="classifier",
    unused=("text_model.*", "logit_scale", "logit_bias", "*.position_ids"),
)
FAMILIES["siglip_vision_model"] = FAMILIES["siglip"]
FAMILIES["beit"] = Family(
    "beit.",
    scale1="lambda_1",
    scale2="lambda_2",
    optional_scales=True,
    table=f"attention.attention.relative_position_bias.{TABLE}",
    shared_table=f"encoder.relative_position_bias.{TABLE}",
    mean_norm="pooler.layernorm",
    unused=("*embeddings.mask_token", "*relative_position_index"),
)
FAMILIES["vit_mae"] = FAMILIES["vit_msn"] = FAMILIES["vit"]
FAMILIES["ijepa"] = Family("ijepa.", class_token="")
FAMILIES["data2vec-vision"] = replace(FAMILIES["beit"], prefix="data2vec_vision.")


def family_of(state: Mapping[str, Tensor]) -> str | None:
    """Tell the family of a state dict by its names.

    Args:
        state: Any state dict.

    Returns:
        A key of `FAMILIES`, or None if it belongs to no known family.
    """
    if any("self_attn.q_proj" in key for key in state) and any(
        "embeddings.patch_embedding." in key for key in state
    ):
        pooled = any(key.endswith("head.probe") for key in state)
        return "siglip" if pooled or "classifier.weight" in state else "clip"
    if any(key.endswith("layer.0.attention.q_proj.weight") for key in state):
        return "dinov3_vit"
    if not any("attention.attention.query" in key for key in state):
        return None
    if any(".layer_scale1." in key for key in state):
        return "dinov2_with_registers" if any("register_tokens" in key for key in state) else "dinov2"
    if any(key.startswith("data2vec_vision.") for key in state):
        return "data2vec-vision"
    if any(key.endswith((TABLE, "layer.0.lambda_1")) for key in state):
        return "beit"
    if not any(key.endswith("embeddings.cls_token") for key in state):
        return "ijepa"
    return "deit" if any("distillation_token" in key for key in state) else "vit"


def canonical_from_hf(
    state: Mapping[str, Tensor], config: ViTConfig, model_type: str, source: str
) -> dict[str, Tensor]:
    """Convert a state dict: rename, fold LayerScale, and make one position row per token.

    A DeiT's distillation token becomes the first register.

    Args:
        state: Hugging Face's names -> tensors.
        config: Expected shape.
        model_type: A key of `FAMILIES`.
        source: Name of the source for error messages.

    Returns:
        Canonical names -> float32 tensors.

    Raises:
        ModelError: The family is unknown, or a tensor is missing, superfluous, of a wrong shape or not finite.
    """
    if model_type not in FAMILIES:
        raise ModelError(
            f"{source}: model type '{model_type}' is not supported. Supported types: {', '.join(FAMILIES)}"
        )
    family = FAMILIES[model_type]
    read = StateReader(_without_prefix(state, family.prefix), source)
    read.drop(*family.unused)
    C, p = config.embed_dim, config.patch_size
    out = {
        "patch_embed.weight": patch_linear(read.take(f"{family.patch}.weight", (C, 3, p, p))),
        "patch_embed.bias": read.take_or(f"{family.patch}.bias", (C,)),
    }
    prefix = [read.take(family.class_token, (1, C))] if config.class_token else [torch.zeros(0, C)]
    if config.register_tokens:
        name = "distillation_token" if model_type == "deit" else "register_tokens"
        prefix.append(read.take(f"embeddings.{name}", (config.register_tokens, C)))
    out["prefix"] = torch.cat(prefix)
    positions = read.take_positions(family.positions, C) if family.positions else None
    # The position table in a file of transformers is for a square grid, whatever the image size.
    out["position"] = full_positions(
        positions, config.prefix_tokens, config.grid, C, antialias=family.antialias, always_square=True
    )
    if config.pre_norm:
        read.copy(out, family.pre_norm, "pre_norm", (C,))
    for index in range(config.depth):
        _block(read, out, family, index, config)
    if config.relative_positions:
        copy_tables(read, out, (family.layer + family.table, family.shared_table), config, "transformers")
    read.copy(out, family.mean_norm if config.pool_before_norm else family.norm, "norm", (C,))
    if config.pool == "attention":
        _pool(read, out, config)
    elif model_type.startswith("siglip"):
        read.drop("head.*")  # the classifier of transformers averages the tokens and ignores the pooling head
    if config.num_classes and config.pool == "token_dist":
        copy_mean_of_heads(read, out, ("cls_classifier", "distillation_classifier"), config)
    elif config.num_classes:
        read.copy(out, family.head, "head", (config.num_classes, config.feature_dim))
    read.finish(config.name)
    return out


def _block(read: StateReader, out: dict[str, Tensor], family: Family, index: int, config: ViTConfig) -> None:
    """Convert one encoder block."""
    C, hidden = config.embed_dim, config.mlp_dim
    old, new = family.layer.format(index), f"blocks.{index}."
    shapes = dict.fromkeys(("q", "k", "v", "proj"), (C, C))
    if config.gated_mlp and family.packed:
        first, last = (old + part for part in family.packed)
        read.copy_parts(out, first, [f"{new}fc1", f"{new}up"], (hidden, C))
        read.copy(out, last, f"{new}fc2", (C, hidden))
    elif config.gated_mlp:
        family = replace(family, fc1=family.gate)
        shapes |= {"fc1": (hidden, C), "up": (hidden, C), "fc2": (C, hidden)}
    else:
        shapes |= {"fc1": (hidden, C), "fc2": (C, hidden)}
    for name in ("norm1", "norm2"):
        read.copy(out, old + getattr(family, name), new + name, (C,))
    for name, shape in shapes.items():
        read.copy(out, old + getattr(family, name), new + name, shape)
    reorder_pairs(out, new.removesuffix("."), config)
    for scale, linear in ((family.scale1, "proj"), (family.scale2, "fc2")):
        if scale and not (family.optional_scales and old + scale not in read):
            fold_layer_scale(out, new + linear, read.take(old + scale, (C,)))


def _without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove the encoder's prefix from all names."""
    return {key.removeprefix(prefix): value for key, value in state.items()}


def _pool(read: StateReader, out: dict[str, Tensor], config: ViTConfig) -> None:
    """Convert SigLIP's pooling head. The projection of its query (probe) is a constant, so it is computed here."""
    C, hidden, new = config.embed_dim, config.mlp_dim, "attention_pool"
    parts: dict[str, Tensor] = {}
    read.copy_fused(parts, "head.attention.in_proj", ["q", f"{new}.k", f"{new}.v"], C, separator="_")
    out[f"{new}.query"] = parts.pop("q.weight") @ read.take("head.probe", (C,)) + parts.pop("q.bias")
    out |= parts
    read.copy(out, "head.attention.out_proj", f"{new}.proj", (C, C))
    read.copy(out, "head.layernorm", f"{new}.norm2", (C,))
    read.copy(out, "head.mlp.fc1", f"{new}.fc1", (hidden, C))
    read.copy(out, "head.mlp.fc2", f"{new}.fc2", (C, hidden))
