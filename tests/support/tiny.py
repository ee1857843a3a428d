"""Tiny float ViTs with seeded random weights."""

import numpy as np
import torch

from p2vit.models.canonical import CanonicalViT
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.loaded import FloatModel, assemble
from p2vit.models.sources.random import random_tensor
from p2vit.models.swin_config import SwinConfig
from p2vit.program.preprocessing import Preprocessing


def config(**changes: object) -> ViTConfig:
    shape: dict[str, object] = {
        "name": "tiny",
        "image_size": (8, 12),
        "patch_size": 4,
        "embed_dim": 24,
        "depth": 2,
        "heads": 3,
        "mlp_dim": 40,
        "num_classes": 5,
    }
    return ViTConfig(**{**shape, **changes})  # type: ignore[arg-type]


def swin_config(**changes: object) -> SwinConfig:
    """Two stages; windows that are padded, shifted and masked, unless changed."""
    shape: dict[str, object] = {
        "name": "tiny",
        "embed_dim": 16,
        "depths": (2, 2),
        "heads": (2, 4),
        "image_size": (40, 56),
        "patch_size": 4,
        "window": 3,
        "num_classes": 5,
    }
    return SwinConfig(**{**shape, **changes})  # type: ignore[arg-type]


def float_model(seed: int = 1, **changes: object) -> FloatModel:
    return model_of(config(**changes), seed)


def swin_model(seed: int = 1, **changes: object) -> FloatModel:
    return model_of(swin_config(**changes), seed)


def smooth_photos(size: tuple[int, int], count: int = 8) -> np.ndarray:
    """Random photos whose neighbouring pixels resemble each other as they do in real ones."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (fine * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def model_of(shape: ModelConfig, seed: int = 1) -> FloatModel:
    """Random weights of a shape."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in CanonicalViT(shape).named_parameters()}
    state = {name: random_tensor(name, size, seed) for name, size in shapes.items()}
    return assemble(shape, state, Preprocessing(image_size=shape.image_size), source="random:tiny")
