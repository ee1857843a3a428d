"""Make ``random:ARCH``: seeded random weights with the statistics of trained ones, for tests, timing and costing."""

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.architectures import find, with_image_size
from p2vit.models.canonical import CanonicalViT
from p2vit.models.loaded import FloatModel, assemble


def load_random(name: str, *, image_size: int | tuple[int, int] | None = None, seed: int = 0) -> FloatModel:
    """Make a model of a known architecture with random weights.

    Args:
        name: Name of an architecture.
        image_size: Image size in pixels, if not the architecture's own.
        seed: Random seed. The same seed gives the same bytes on any machine and with any number of threads.

    Returns:
        The model.

    Raises:
        ModelError: There is no such architecture, or the image size does not fit it.
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
    """Make one canonical tensor with its own random generator, so that no tensor depends on another.

    The values have the scales of trained ViTs, so that activations are realistic. Linear layers keep the variance of
    their input. Attention logits have a standard deviation of about two. LayerNorm weights differ by a small factor,
    with a few outlier channels. The output of each block is smaller than the residual stream.

    Args:
        name: Canonical name.
        shape: Shape of the tensor.
        seed: Random seed of the model.

    Returns:
        Float32 tensor.
    """
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    return torch.from_numpy(_values(name, shape, rng).astype(np.float32))


def _values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.floating]:
    """Draw the values of one tensor with the scale that its name implies."""
    normal = rng.standard_normal(shape, dtype=np.float32)
    owner, _, kind = name.rpartition(".")
    if "norm" in owner:
        if kind == "bias":
            return 0.1 * normal
        weight = np.exp(0.3 * normal)
        weight[rng.random(shape) < 0.01] *= 4  # outlier channels, which trained ViTs have
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
