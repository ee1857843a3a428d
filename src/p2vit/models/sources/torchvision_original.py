"""Make the torchvision model of a weight file, for the comparison."""

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
    """Make the recipe for torchvision's model of a state dict in torchvision's layout.

    A file does not state the image pipeline of its weights. The recipe uses the one of torchvision's ImageNet weights:
    resize the shorter side to 8/7 of the image size, centre crop. Options of the user override it.

    Args:
        state: torchvision's names -> tensors. The recipe keeps them until the model is built.
        config: Shape of the network.
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
    """Make the module of torchvision with the weights, in eval mode."""
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
    """Make torchvision's evaluation transform (photo -> float [3, H, W]) with the fields that the user stated."""
    changes = {key: list(stated[key]) for key in ("mean", "std") if key in stated}
    if "interpolation" in stated:
        modes = torchvision.transforms.InterpolationMode
        changes["interpolation"] = modes(stated["interpolation"])
    scaled = math.floor(side / stated.get("crop_pct", 0.875))
    preset = torchvision.transforms._presets.ImageClassification
    return preset(crop_size=side, resize_size=scaled, **changes)
