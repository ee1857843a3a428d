"""The torchvision model of a weight file, to compare with."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.libraries import import_library
from p2vit.models.loaded import Built, Original
from p2vit.models.options import LoadOptions
from p2vit.models.swin_config import SwinConfig


def torchvision_original(state: Mapping[str, Tensor], config: ModelConfig) -> Original:
    """How to make torchvision's model of a state dict in its layout.

    A file does not say which of torchvision's transforms its weights expect, so these are its ImageNet weights':
    the shorter side to 8/7 of the model's, the centre, or what is stated.

    Args:
        state: torchvision's names -> tensors; kept until the model is built.
        config: The shape that was read from it.
    """

    def build(options: LoadOptions) -> Built:
        torchvision = import_library("torchvision")
        model = build_model(torchvision, state, config)
        stated = options.preparation
        if "crop_mode" in stated or config.image_size[0] != config.image_size[1]:
            return model, None
        return model, _pipeline(torchvision, config.image_size[0], stated)

    return Original("torchvision", build)


def build_model(torchvision: Any, state: Mapping[str, Tensor], config: ModelConfig) -> Any:
    """Module of torchvision with the weights, in eval mode."""
    models = torchvision.models
    if isinstance(config, SwinConfig):
        window = config.window if isinstance(config.window, int) else config.window[0][0]
        model = models.SwinTransformer(
            patch_size=[config.patch_size, config.patch_size],
            embed_dim=config.embed_dim,
            depths=list(config.depths),
            num_heads=list(config.heads),
            window_size=[window, window],
            mlp_ratio=config.mlp_ratio,
            num_classes=max(config.num_classes, 1),
        )
        if not config.num_classes:
            model.head = torch.nn.Identity()
    else:
        assert isinstance(config, ViTConfig)
        positions = state["encoder.pos_embedding"]
        side = math.isqrt(positions.numel() // config.embed_dim - 1) * config.patch_size
        if (side, side) != config.image_size:
            size, patch = config.image_size[0], config.patch_size
            resized = models.vision_transformer.interpolate_embeddings(size, patch, dict(state))
            state = dict(resized)
        model = models.VisionTransformer(
            config.image_size[0],
            config.patch_size,
            config.depth,
            config.heads,
            config.embed_dim,
            config.mlp_dim,
            num_classes=max(config.num_classes, 1),
        )
        if not config.num_classes:
            model.heads = torch.nn.Identity()
    model.load_state_dict({key: value.float() for key, value in state.items()}, strict=True)
    return model.eval()


def _pipeline(torchvision: Any, side: int, stated: Mapping[str, Any]) -> Any:
    """The evaluation transform of torchvision's weights, with what is stated otherwise: a photo to float [3, H, W]."""
    changes = {key: list(stated[key]) for key in ("mean", "std") if key in stated}
    if "interpolation" in stated:
        modes = torchvision.transforms.InterpolationMode
        changes["interpolation"] = modes(stated["interpolation"])
    scaled = math.floor(side / stated.get("crop_pct", 0.875))
    preset = torchvision.transforms._presets.ImageClassification
    return preset(crop_size=side, resize_size=scaled, **changes)
