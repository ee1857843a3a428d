"""The timm model of a weight file, with the timm image pipeline, to compare with."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.libraries import import_library
from p2vit.models.loaded import Built, Original
from p2vit.models.options import LoadOptions
from p2vit.models.source_names import RESIZED, family

POOLS = {"token": "token", "avg": "avg", "attention": "map"}


def timm_original(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    arch: str,
    data: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Original | None:
    """How to make timm's model of a state dict in timm's layout.

    Args:
        state: timm's names -> tensors, without prefixes and wrappers; kept until the model is built.
        config: The shape that was read from it.
        arch: timm's name, with or without a tag.
        data: Fields of timm's data configuration that the source states, e.g. ``mean``; the tag's otherwise.
        arguments: What timm's model is made with beside the shape, as the source states it.

    Returns:
        None for an architecture that timm does not have.
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
    """Module of timm with the weights, in eval mode; the tensors are shared, not copied."""
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
    if plain and config.pool in POOLS:
        changes["global_pool"] = POOLS[config.pool]
        if config.pool == "avg":
            changes["use_fc_norm" if rotary else "fc_norm"] = config.pool_before_norm
    # A plain ViT keeps nothing but its tensors; a Swin computes indices when it is made.
    # rotary positions are computed when the model is made, too.
    plain = plain and not rotary
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
    """Evaluation transform of timm for a model, with what is stated otherwise: a photo to float [3, H, W]."""
    config = {**timm.data.resolve_model_data_config(model), **stated, "input_size": (3, *image_size)}
    return timm.data.create_transform(**config, is_training=False)
