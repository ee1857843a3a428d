"""Tiny float ViTs with seeded random weights."""

import torch

from p2vit.models.canonical import CanonicalViT
from p2vit.models.config import ViTConfig
from p2vit.models.loaded import FloatModel, assemble
from p2vit.models.sources.random import random_tensor
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


def float_model(seed: int = 1, **changes: object) -> FloatModel:
    shape = config(**changes)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in CanonicalViT(shape).named_parameters()}
    state = {name: random_tensor(name, size, seed) for name, size in shapes.items()}
    return assemble(shape, state, Preprocessing(image_size=shape.image_size), source="random:tiny")
