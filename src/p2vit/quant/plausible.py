"""Whether a float model's numbers are ones that integers with power-of-two scales can follow."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.layers import Block, activate
from p2vit.models.loaded import FloatModel

#: Largest and smallest peak of a tensor inside a model that shifts of 32-bit integers bridge. Trained ViTs stay within
#: about 1e-3 to 1e4.
MOST, LEAST = 2.0**20, 2.0**-20

#: How the integer operators begin to refuse a shift or a number that no 32-bit integer takes.
OUT_OF_REACH = ("shift leaves", "epsilon_shift is", "a value of")


@contextmanager
def refusing_odd_numbers(model: FloatModel, photos: NDArray[np.uint8]) -> Iterator[None]:
    """Turn what breaks inside into a refusal where the model's numbers are the reason; anything else goes on.

    Args:
        model: What is quantized inside.
        photos: A few, uint8 [B, H, W, 3].

    Raises:
        ModelError: names the piece of the model whose numbers are out of reach.
    """
    try:
        yield
    except (ValueError, ArithmeticError, RuntimeError) as error:
        reason = why_implausible(model, photos[:1])
        if reason is None and str(error).startswith(OUT_OF_REACH):
            reason = f"its layers' numbers lie further apart than shifts of 32-bit integers bridge ({error})"
        if reason is None:
            raise
        raise ModelError(
            f"{model.source}: cannot be quantized: {reason}. Trained weights do not have such numbers: look "
            "whether the file is damaged, scaled, or was never trained"
        ) from error


def why_implausible(model: FloatModel, photos: NDArray[np.uint8]) -> str | None:
    """Name the first piece of a model whose numbers are out of reach.

    Args:
        model: In eval mode.
        photos: uint8 [B, H, W, 3].

    Returns:
        A sentence without a full stop, or None where all are usual.
    """
    for name, weight in model.module.named_parameters():
        if weight.numel() and float(weight.abs().max()) > MOST:
            return f"{name} has numbers up to {float(weight.abs().max()):.1e}; up to {MOST:.1e} are supported"
    module = model.module
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(photos))
        if found := _odd("the patch embedding", module.patch_embed(module.patches(pixels))):
            return found
        x = module.embed(pixels)
        if found := _odd("the embedding", x):
            return found
        for index, block in enumerate(module.blocks):
            assert isinstance(block, Block)
            for piece, values in _pieces(block, x):
                if found := _odd(f"blocks.{index}{piece}", values):
                    return found
            x = block(x)
        features = module.pool(x)
        if found := _odd("the last LayerNorm", features):
            return found
        if module.head is not None:
            return _odd("the head", module.head(features))
    return None


def _pieces(block: Block, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What the layers of a block put out, in their order, and at last the block itself."""
    x = block.merge(x) if block.merge is not None else x
    inside = block.norm1(x)
    yield ".norm1", inside
    for letter in "qkv":
        yield f".{letter}", getattr(block, letter)(inside)
    attended = block.attention(inside)
    yield ".proj", attended
    inside = block.norm2(x + attended)
    yield ".norm2", inside
    hidden = block.fc1(inside)
    yield ".fc1", hidden
    if block.up is not None:
        yield ".up", block.up(inside)
    yield ".fc2", block.fc2(block.hidden(inside))
    yield "", x + attended + block.mlp(inside)


def _odd(name: str, values: Tensor) -> str | None:
    """Say how a piece's output is out of reach."""
    peak = float(values.abs().max())
    if not np.isfinite(peak):
        return f"{name} puts out NaN or infinity"
    if peak > MOST:
        return f"{name} puts out numbers up to {peak:.1e}; up to {MOST:.1e} are supported"
    if peak < LEAST:
        return f"{name} puts out nothing but numbers below {LEAST:.1e} (at most {peak:.1e})"
    return None
