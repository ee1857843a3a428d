"""Exact folding before quantization: linear layers absorb LayerNorm gains and biases, 1/√d and pixel scaling."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from p2vit.models.canonical import AttentionPool, Block, CanonicalViT


@dataclass(frozen=True)
class Affine:
    """A float linear layer.

    Attributes:
        weight: float32 [N, K].
        bias: float32 [N].
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class FoldedBlock:
    """Float linear layers of one block; its LayerNorms then need neither gain nor bias.

    Attributes:
        layers: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``; also ``reduction`` if patches are merged first, and
            ``up`` if the MLP is gated.
        score_exponent: log2 of the factor on the scores: −3 for head dim 64; 0 if 1/√d is folded into ``q``.
        score_bias: Relative position bias of a window of n tokens, float32 [H, n, n]; None without windows.
        fills: Token that pads a window, for each of ``q``, ``k`` and ``v``: float32 [C]. Empty without windows.
    """

    layers: dict[str, Affine]
    score_exponent: int
    score_bias: Tensor | None = None
    fills: dict[str, Tensor] = field(default_factory=dict)


def fold_norm(linear: nn.Linear, norm: nn.LayerNorm) -> Affine:
    """Fold gain γ and bias β of a LayerNorm into the layer behind it: ``W·(γ∘n + β) + b``."""
    return Affine(linear.weight * norm.weight, linear.bias + linear.weight @ norm.bias)


def fold_block(block: Block) -> FoldedBlock:
    """Fold a block's LayerNorm gains and biases, and 1/√d if it is not a power of two."""
    layers = {name: fold_norm(getattr(block, name), block.norm1) for name in ("q", "k", "v")}
    layers["fc1"] = fold_norm(block.fc1, block.norm2)
    if block.up is not None:
        layers["up"] = fold_norm(block.up, block.norm2)
    layers["proj"] = Affine(block.proj.weight, block.proj.bias)
    plain = Affine(block.fc2.weight, block.fc2.bias)
    layers["fc2"] = plain if block.mlp_norm is None else fold_norm(block.fc2, block.mlp_norm)
    if block.merge is not None:
        layers["reduction"] = fold_norm(block.merge.reduction, block.merge.norm)
    exponent, factor = score_factor(block.shape.head_dim)
    layers["q"] = Affine(layers["q"].weight * factor, layers["q"].bias * factor)
    if block.shape.windows is None:
        return FoldedBlock(layers, exponent)
    # The float model pads a window with zeros behind the LayerNorm, so a padded token is the bias of the layer.
    fills = {"q": block.q.bias * factor, "k": block.k.bias, "v": block.v.bias}
    return FoldedBlock(layers, exponent, block.score_bias(), fills)


def fold_pool(pool: AttentionPool, norm: nn.LayerNorm) -> FoldedBlock:
    """Fold the last LayerNorm into an attention pooling head. The head's query is ``fills["q"]``."""
    layers = {name: fold_norm(getattr(pool, name), norm) for name in ("k", "v")}
    layers["fc1"] = fold_norm(pool.fc1, pool.norm2)
    for name in ("proj", "fc2"):
        linear = getattr(pool, name)
        layers[name] = Affine(linear.weight, linear.bias)
    exponent, factor = score_factor(len(pool.query) // pool.heads)
    return FoldedBlock(layers, exponent, fills={"q": pool.query * factor})


def score_factor(head_dim: int) -> tuple[int, float]:
    """Split 1/√d into log2 of the factor on the scores and the factor that is folded into the queries."""
    exponent = -math.log2(head_dim) / 2
    return (round(exponent), 1.0) if exponent == round(exponent) else (0, head_dim**-0.5)


def fold_pixels(model: CanonicalViT) -> Affine:
    """Return the patch embedding of centred pixels ``p − 128``, with 1/255, mean and std folded in."""
    pixels = model.config.patch_size**2
    mean, std = model.mean.repeat(pixels), model.std.repeat(pixels)
    weight = model.patch_embed.weight / (255 * std)
    bias = model.patch_embed.bias - model.patch_embed.weight @ (mean / std) + 128 * weight.sum(dim=1)
    return Affine(weight, bias)


def normalise(x: Tensor, epsilon: float) -> Tensor:
    """Apply LayerNorm over the last axis, without gain and bias."""
    return torch.nn.functional.layer_norm(x, (x.shape[-1],), eps=epsilon)
