"""Make the timm model of a weight file and timm's image pipeline, for the comparison."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.libraries import import_library
from p2vit.models.loaded import Built, Original
from p2vit.models.options import LoadOptions
from p2vit.models.source_names import RESIZED, family
from p2vit.models.sources.relative_position import TABLE

POOLS = {"token": "token", "avg": "avg", "attention": "map"}


def timm_original(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    arch: str,
    data: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Original | None:
    """Make the recipe for timm's model of a state dict in timm's layout.

    Args:
        state: timm's names -> tensors, without prefixes and wrappers. The recipe keeps them until the model is built.
        config: Shape of the network.
        arch: timm's name of the architecture, with or without a tag.
        data: Fields of timm's data configuration that the source states, e.g. ``mean``. The tag determines the others.
        arguments: Further arguments of timm's model that the source states.

    Returns:
        The recipe, or None for an architecture that timm does not have.
    """
    if family(arch.split(".")[0]) == arch:
        return None

    def build(options: LoadOptions) -> Built:
        timm = import_library("timm")
        model = build_model(timm, state, config, arch, arguments or {})
        return model, pipeline(timm, model, config.image_size, {**(data or {}), **options.preparation})

    return Original("timm", build)


def build_model(
    timm: Any, state: Mapping[str, Tensor], config: ModelConfig, arch: str, arguments: Mapping[str, Any]
) -> Any:
    """Make the module of timm with the weights, in eval mode. A plain ViT shares the tensors without a copy."""
    name, _, tag = arch.partition(".")
    if resized := RESIZED.fullmatch(name):
        name = resized[1]
    if "dinov3" in name and not name.endswith("_qkvb") and "blocks.0.attn.q_bias" in state:
        name, tag = f"{name}_qkvb", ""  # timm has a name of its own for those with biases
    changes: dict[str, Any] = {
        **arguments,
        "img_size": config.image_size,
        "num_classes": config.num_classes,
    }
    plain = isinstance(config, ViTConfig)
    rotary = isinstance(config, ViTConfig) and config.rope != "none"
    relative = isinstance(config, ViTConfig) and config.relative_positions
    if plain and config.pool in POOLS:
        changes["global_pool"] = POOLS[config.pool]
        if config.pool == "avg":
            changes["use_fc_norm" if rotary or relative else "fc_norm"] = config.pool_before_norm
    if relative:
        own = any(name.startswith("blocks.") and name.endswith(TABLE) for name in state)
        changes |= {
            "use_rel_pos_bias": own,
            "use_shared_rel_pos_bias": f"rel_pos_bias.{TABLE}" in state,
            "use_abs_pos_emb": "pos_embed" in state,
        }
    # A plain ViT can be made on the meta device. A Swin cannot, because it computes index tables when it is made, nor
    # can a model with rotary positions or relative position bias.
    plain = plain and not rotary and not relative
    if plain:
        changes["weight_init"] = "skip"
    with torch.device("meta" if plain else "cpu"):
        model = timm.create_model(f"{name}.{tag}" if tag else name, pretrained=False, **changes)
    module = __import__(type(model).__module__, fromlist=["checkpoint_filter_fn"])
    tensors = {key: value.float() for key, value in state.items()}
    if convert := getattr(module, "checkpoint_filter_fn", None):
        tensors = convert(tensors, model)
    if not config.num_classes:
        tensors = {key: value for key, value in tensors.items() if not key.startswith("head.")}
    tensors = {key: value for key, value in tensors.items() if key != "mask_token"}
    model.load_state_dict(tensors, strict=True, assign=plain)
    return model.eval()


def pipeline(timm: Any, model: Any, image_size: tuple[int, int], stated: Mapping[str, Any]) -> Any:
    """Make timm's evaluation transform for a model: photo -> float [3, H, W].

    Args:
        timm: The imported library.
        model: Module of timm.
        image_size: Pixels, (height, width).
        stated: Fields of timm's data configuration that override those of the model.
    """
    config = {**timm.data.resolve_model_data_config(model), **stated, "input_size": (3, *image_size)}
    return timm.data.create_transform(**config, is_training=False)
