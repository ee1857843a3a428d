"""Tiny programs with feature maps, for tests of every back-end."""

from functools import cache

from p2vit.models.config import ModelConfig
from p2vit.models.dense import feature_maps
from p2vit.program.graph import IntegerProgram
from p2vit.quant.api import quantize
from support.tiny import config, model_of, smooth_photos, swin_config

#: Shape of a model, and outputs to ask for.
DENSE: dict[str, tuple[ModelConfig, list[str]]] = {
    "class token": (config(), ["tokens", "layers=0,1"]),
    "no head": (config(num_classes=0), ["layers=1"]),
    "registers": (config(register_tokens=3), ["tokens", "layers=0"]),
    "average after the norm": (config(class_token=False, pool="avg"), ["tokens", "layers=0"]),
    "class token beside the mean": (config(pool="token_avg", register_tokens=2), ["layers=0", "tokens"]),
    "class and distillation token": (config(pool="token_dist", register_tokens=1), ["tokens"]),
    "CLIP": (config(pre_norm=True, activation="quick_gelu", num_classes=0), ["tokens", "layers=0"]),
    "SigLIP": (config(class_token=False, pool="attention", num_classes=0), ["tokens", "layers=0"]),
    "rotary": (config(rope="dinov3", register_tokens=2), ["tokens", "layers=0"]),
    "gated": (config(rope="axial", gated_mlp=True), ["tokens", "layers=0"]),
    "Swin": (swin_config(), ["tokens", "layers=2"]),
}


@cache
def dense_program(name: str) -> IntegerProgram:
    """The program of a row of `DENSE`."""
    shape, wanted = DENSE[name]
    photos = smooth_photos(shape.image_size)
    return quantize(model_of(shape), [photos], threads=1, maps=feature_maps(wanted, shape)).program


def dense_photos(name: str, count: int = 2):
    """Photos of its size, uint8 [count, H, W, 3]."""
    return smooth_photos(DENSE[name][0].image_size)[:count]
