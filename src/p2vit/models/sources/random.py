"""``random:ARCH``: seeded weights that behave like trained ones, for tests, timing and costing."""

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.architectures import find, with_image_size
from p2vit.models.canonical import CanonicalViT
from p2vit.models.loaded import FloatModel, assemble


def load_random(name: str, *, image_size: int | tuple[int, int] | None = None, seed: int = 0) -> FloatModel:
    """Make a model of a known architecture.

    Args:
        name: An architecture.
        image_size: Pixels, another than the architecture's own.
        seed: The same seed makes the same bytes, on any machine and with any number of threads.

    Returns:
        The model.

    Raises:
        ModelError: there is no such architecture, or the size does not fit it.
    """
    found = find(name)
    config, preprocessing = found.config, found.preprocessing
    if image_size is not None:
        config = with_image_size(config, image_size)
        preprocessing = preprocessing.for_size(config.image_size)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in CanonicalViT(config).named_parameters()}
    state = {name: random_tensor(name, shape, seed) for name, shape in shapes.items()}
    return assemble(
        config,
        state,
        preprocessing,
        source=f"random:{name}",
        preprocessing_from=f"the usual values of {name}",
    )


def random_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Make one canonical tensor from a generator of its own, so that no tensor depends on another.

    Scales follow trained ViTs, because an integer model is only tested by activations it will meet: linears
    keep the variance of their input, attention logits have a spread of about two, LayerNorm weights vary over
    a factor of a few with some outlying channels, and each block adds a part of what is there already.

    Args:
        name: Canonical name.
        shape: Its shape.
        seed: The model's.

    Returns:
        Float32.
    """
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    return torch.from_numpy(_values(name, shape, rng).astype(np.float32))


def _values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.floating]:
    """Draw the values of one tensor, by what it is."""
    normal = rng.standard_normal(shape, dtype=np.float32)
    owner, _, kind = name.rpartition(".")
    if "norm" in owner:
        if kind == "bias":
            return 0.1 * normal
        weight = np.exp(0.3 * normal)
        weight[rng.random(shape) < 0.01] *= 4  # the outlying channels that trained ViTs are known for
        return weight
    if name == "prefix":
        return 0.5 * normal
    if owner.endswith("attention_pool") and kind == "query":
        return normal
    if kind == "bias_table":
        return 0.5 * normal
    if name == "position":
        return 0.2 * normal
    if kind == "bias":
        return 0.05 * normal
    gain = {"q": 1.4, "k": 1.4, "proj": 0.7, "fc2": 0.7}.get(owner.rpartition(".")[2], 1.0)
    return gain / np.sqrt(np.float32(shape[-1])) * normal
