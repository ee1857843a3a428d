"""Detects weights and activations that are too large or too small for 32-bit integers with power-of-two scales."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.layers import Block
from p2vit.models.loaded import FloatModel

#: Bounds of the largest absolute value of a tensor inside a model. Beyond them, shifts of 32-bit integers are not
#: enough. Trained ViTs stay between about 1e-3 and 1e4.
MOST, LEAST = 2.0**20, 2.0**-20

#: First words of the errors that integer operators raise for a shift or a number that does not fit 32 bits.
OUT_OF_REACH = ("shift leaves", "epsilon_shift is", "a value of")


@contextmanager
def refuse_extreme_values(model: FloatModel, photos: NDArray[np.uint8]) -> Iterator[None]:
    """Replace an error in the ``with`` block by a ModelError if the model's values are the cause.

    Any other error passes unchanged.

    Args:
        model: The model that the ``with`` block quantizes.
        photos: A few photos, uint8 [B, H, W, 3].

    Raises:
        ModelError: A tensor of the model is too large or too small. The message names it.
    """
    try:
        yield
    except (ValueError, ArithmeticError, RuntimeError) as error:
        reason = find_extreme_value(model, photos[:1])
        if reason is None and str(error).startswith(OUT_OF_REACH):
            reason = (
                f"the values of its layers differ by more than shifts of 32-bit integers can cover ({error})"
            )
        if reason is None:
            raise
        raise ModelError(
            f"{model.source}: cannot be quantized: {reason}. Trained weights do not have such "
            "values. Check whether the file is damaged, was scaled, or was never trained"
        ) from error


def find_extreme_value(model: FloatModel, photos: NDArray[np.uint8]) -> str | None:
    """Find the first weight or activation of a model that is too large or too small.

    Args:
        model: Float model in eval mode.
        photos: uint8 [B, H, W, 3].

    Returns:
        A sentence without a full stop that names it, or None if all values are in range.
    """
    for name, weight in model.module.named_parameters():
        if weight.numel() and float(weight.abs().max()) > MOST:
            return f"{name} has values up to {float(weight.abs().max()):.1e}; up to {MOST:.1e} are supported"
    module = model.module
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(photos))
        if found := _out_of_range("the patch embedding", module.patch_embed(module.patches(pixels))):
            return found
        x = module.embed(pixels)
        if found := _out_of_range("the embedding", x):
            return found
        for index, block in enumerate(module.blocks):
            assert isinstance(block, Block)
            for layer, values in _layer_outputs(block, x):
                if found := _out_of_range(f"blocks.{index}{layer}", values):
                    return found
            x = block(x)
        features = module.pool(x)
        if found := _out_of_range("the last LayerNorm", features):
            return found
        if module.head is not None:
            return _out_of_range("the head", module.head(features))
    return None


def _layer_outputs(block: Block, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the output of each layer of a block, in order, and last of the block itself."""
    x = block.merge(x) if block.merge is not None else x
    normalised = block.norm1(x)
    yield ".norm1", normalised
    for letter in "qkv":
        yield f".{letter}", getattr(block, letter)(normalised)
    attended = block.attention(normalised)
    yield ".proj", attended
    normalised = block.norm2(x + attended)
    yield ".norm2", normalised
    hidden = block.fc1(normalised)
    yield ".fc1", hidden
    if block.up is not None:
        yield ".up", block.up(normalised)
    yield ".fc2", block.fc2(block.hidden(normalised))
    yield "", x + attended + block.mlp(normalised)


def _out_of_range(name: str, values: Tensor) -> str | None:
    """Describe how an output is out of range; None if it is not."""
    peak = float(values.abs().max())
    if not np.isfinite(peak):
        return f"the output of {name} has NaN or infinity"
    if peak > MOST:
        return f"the output of {name} has values up to {peak:.1e}; up to {MOST:.1e} are supported"
    if peak < LEAST:
        return f"the output of {name} has no value above {peak:.1e}; at least {LEAST:.1e} is needed"
    return None
