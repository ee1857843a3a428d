"""Exact folds, before anything is quantized: what a layer can absorb of its neighbours."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from p2vit.models.canonical import Block, CanonicalViT


@dataclass(frozen=True)
class Affine:
    """A float linear map.

    Attributes:
        weight: float32 [N, K].
        bias: float32 [N].
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class FoldedBlock:
    """Linear layers of one block behind normalisations that have neither gain nor bias.

    Attributes:
        layers: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``.
        score_exponent: log2 of the factor that scores still get: −3 for head dim 64; 0 where 1/√d is in ``q``.
    """

    layers: dict[str, Affine]
    score_exponent: int


def fold_norm(linear: nn.Linear, norm: nn.LayerNorm) -> Affine:
    """``W·(γ∘n + β) + b`` as one map of the bare normalised n."""
    return Affine(linear.weight * norm.weight, linear.bias + linear.weight @ norm.bias)


def fold_block(block: Block, head_dim: int) -> FoldedBlock:
    """Fold a block's LayerNorm gains and biases, and 1/√d where it is no power of two."""
    layers = {name: fold_norm(getattr(block, name), block.norm1) for name in ("q", "k", "v")}
    layers["fc1"] = fold_norm(block.fc1, block.norm2)
    for name in ("proj", "fc2"):
        linear = getattr(block, name)
        layers[name] = Affine(linear.weight, linear.bias)
    exponent = -math.log2(head_dim) / 2
    if exponent == round(exponent):
        return FoldedBlock(layers, round(exponent))
    factor = head_dim**-0.5
    layers["q"] = Affine(layers["q"].weight * factor, layers["q"].bias * factor)
    return FoldedBlock(layers, 0)


def fold_pixels(model: CanonicalViT) -> Affine:
    """Patch embedding as a map of centred pixels ``p − 128``: 1/255, mean and std are inside."""
    pixels = model.config.patch_size**2
    mean, std = model.mean.repeat(pixels), model.std.repeat(pixels)
    weight = model.patch_embed.weight / (255 * std)
    bias = model.patch_embed.bias - model.patch_embed.weight @ (mean / std) + 128 * weight.sum(dim=1)
    return Affine(weight, bias)


def normalise(x: Tensor, epsilon: float) -> Tensor:
    """LayerNorm without gain and bias over the last axis."""
    return torch.nn.functional.layer_norm(x, (x.shape[-1],), eps=epsilon)
