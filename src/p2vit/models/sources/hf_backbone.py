"""Backbones of transformers, such as Dinov2Backbone: their outputs are feature maps of the blocks that they name."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.libraries import import_library

#: model_type -> class of the backbone.
BACKBONES = {
    "dinov2": "Dinov2Backbone",
    "dinov2_with_registers": "Dinov2WithRegistersBackbone",
}


def backbone_layers(meta: Mapping[str, Any], depth: int, source: str) -> tuple[int, ...]:
    """Blocks, counted from 0, whose patch tokens a backbone puts out; empty if config.json names no backbone.

    Args:
        meta: Content of config.json.
        depth: Number of blocks.
        source: Name of the source for error messages.

    Raises:
        ModelError: It puts out the embedding, or patch tokens without the last LayerNorm.
    """
    stated = meta.get("architectures")
    name = str(stated[0]) if isinstance(stated, list | tuple) and stated else ""
    if name != BACKBONES.get(str(meta.get("model_type"))):
        return ()
    if not meta.get("apply_layernorm", True):
        raise ModelError(
            f"{source}: config.json says apply_layernorm false, and p2vit's feature maps go through the last "
            "LayerNorm; set it to true if that is what you need"
        )
    stages = ["stem", *(f"stage{number}" for number in range(1, depth + 1))]
    wanted = meta.get("out_features") or [stages[index] for index in meta.get("out_indices") or (-1,)]
    if unknown := [each for each in wanted if each not in stages[1:]]:
        raise ModelError(
            f"{source}: config.json asks for the feature map '{unknown[0]}', which p2vit does not put out; "
            f"it has stage1 to stage{depth}. Change out_features there"
        )
    return tuple(stages.index(each) - 1 for each in wanted)


def backbone_forward(
    meta: Mapping[str, Any], weights: Mapping[str, Tensor], layers: tuple[int, ...]
) -> Callable[[Tensor], Tensor]:
    """Make transformers' backbone of a repository's weights.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors.
        layers: Blocks whose patch tokens are put out.

    Returns:
        A function of photos, float [B, 3, H, W], to all feature maps one after the other, [B, layers · patches · C].
    """
    transformers = import_library("transformers")
    cls = getattr(transformers, BACKBONES[meta["model_type"]])
    stated = {key: value for key, value in meta.items() if key not in ("out_features", "out_indices")}
    config = cls.config_class.from_dict(
        {
            **stated,
            "out_features": [f"stage{layer + 1}" for layer in layers],
            "reshape_hidden_states": True,
            "apply_layernorm": True,
        }
    )
    tensors = {name: value.float() for name, value in weights.items()}
    model = cls.from_pretrained(None, config=config, state_dict=tensors).eval()

    def forward(x: Tensor) -> Tensor:
        maps = model(x).feature_maps
        return torch.cat([each.flatten(2).transpose(1, 2).flatten(1) for each in maps], dim=1)

    return forward
