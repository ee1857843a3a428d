"""The quantized ViT in float arithmetic on grid values: what search and the float-scale baselines run on.

With power-of-two scales every value here is one that the integer program represents; sums differ from the program's
only where float32 rounds.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import activate
from p2vit.models.config import Activation, ViTConfig
from p2vit.quant.config import Softmax
from p2vit.quant.fold import Affine, normalise
from p2vit.quant.grid import Grid
from p2vit.quant.weights import QuantizedLinear


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, N, C] → [B, H, N, D]."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, score_exponent: int, form: Softmax | None) -> Tensor:
    """Attention with quantized softmax codes, or exact for ``form`` None.

    Args:
        q: float32 [B, N, C]; k and v alike.
        k: Keys.
        v: Values.
        heads: H.
        score_exponent: log2 of the factor that scores still get.
        form: See :class:`~p2vit.quant.config.QuantConfig`.

    Returns:
        float32 [B, N, C].
    """
    q, k, v = (split_heads(x, heads) for x in (q, k, v))
    if form is None:
        out = F.scaled_dot_product_attention(q, k, v, scale=2.0**score_exponent)
        return out.transpose(1, 2).flatten(2)
    scores = (q @ k.transpose(-1, -2)) * 2.0**score_exponent
    if form in ("linear", "log2"):
        relative = scores.sub_(scores.amax(dim=-1, keepdim=True))
        if form == "linear":
            codes = relative.exp_().mul_(256).add_(0.5).floor_().clamp_(max=255)
        else:
            codes = torch.exp2(-(relative.mul_(-1.4426950408889634).add_(0.5).floor_().clamp_(max=15)))
        out = (codes @ v) / codes.sum(dim=-1, keepdim=True)
    else:
        probability = scores.softmax(dim=-1)
        if form == "log2-probability":
            codes = torch.exp2(-torch.floor(0.5 - torch.log2(probability.clamp(min=2.0**-20))).clamp(0, 15))
        else:
            codes = torch.floor(probability * 256 + 0.5).clamp_(max=255) / 256
        out = codes @ v
    return out.transpose(1, 2).flatten(2)


@dataclass
class QuantizedBlock:
    """One encoder block: grids of its activations, layers in integers.

    Attributes:
        heads: H.
        epsilon: Of the LayerNorms.
        activation: Of the MLP.
        score_exponent: log2 of the factor that scores still get.
        softmax: Form of the codes.
        grids: ``norm1``, ``q``, ``k``, ``v``, ``values``, ``branch1``, ``add1``, ``norm2``, ``fc1`` (the activation's
            input), ``gelu`` (its output), ``branch2``, ``add2``.
        layers: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``.
        table_groups: Groups of neighbouring channels with a table of the activation each.
    """

    heads: int
    epsilon: float
    activation: Activation
    score_exponent: int
    softmax: Softmax
    grids: dict[str, Grid] = field(default_factory=dict)
    layers: dict[str, QuantizedLinear] = field(default_factory=dict)
    table_groups: int = 1

    def linear(self, name: str, stored: Tensor, grid: str) -> Tensor:
        """A layer of stored integers, re-quantized to a grid's values."""
        return self.grids[grid].fake(self.layers[name].apply(stored))

    def values(self, x: Tensor) -> Tensor:
        """Attention output before it is quantized, for a residual stream x: float32 [B, N, C]."""
        hidden = self.grids["norm1"].stored(normalise(x, self.epsilon))
        q, k, v = (self.linear(name, hidden, name) for name in "qkv")
        return attend(q, k, v, self.heads, self.score_exponent, self.softmax)

    def add_attention(self, x: Tensor, values: Tensor) -> Tensor:
        """Residual stream after the attention half, for its input and :meth:`values`."""
        branch = self.linear("proj", self.grids["values"].stored(values), "branch1")
        return self.grids["add1"].fake(x + branch)

    def hidden(self, x: Tensor) -> Tensor:
        """Activation output before it is quantized, for the stream after the attention half."""
        stored = self.grids["norm2"].stored(normalise(x, self.epsilon))
        return activate(self.linear("fc1", stored, "fc1"), self.activation)

    def add_mlp(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Residual stream after the MLP half, for its input and :meth:`hidden`."""
        branch = self.linear("fc2", self.grids["gelu"].stored(hidden), "branch2")
        return self.grids["add2"].fake(x + branch)

    def __call__(self, x: Tensor) -> Tensor:
        """Residual stream → residual stream, float32 [B, N, C]."""
        x = self.add_attention(x, self.values(x))
        return self.add_mlp(x, self.hidden(x))


@dataclass
class QuantizedEnds:
    """What stands before and after the blocks.

    Attributes:
        patch_embed: Layer of centred pixels.
        patch_grid: Grid of its output.
        stream: Grid of the tokens.
        prefix: float32 [P, C] on the stream's grid, positions added.
        position: float32 [N, C] of the patch tokens, on the stream's grid.
        pre_norm: Gain and bias of a LayerNorm right after the embedding, or None.
        norm: Gain and bias of the last LayerNorm: [C] each.
        feature: Grid of the feature.
        head: Layer of the feature, or None.
    """

    patch_embed: QuantizedLinear
    patch_grid: Grid
    stream: Grid
    prefix: Tensor
    position: Tensor
    pre_norm: Affine | None
    norm: Affine
    feature: Grid | None = None
    head: QuantizedLinear | None = None


@dataclass
class QuantizedViT:
    """A quantized model, simulated.

    Attributes:
        config: Its shape.
        ends: Embedding and head.
        blocks: In order.
    """

    config: ViTConfig
    ends: QuantizedEnds
    blocks: list[QuantizedBlock]

    def embed(self, pixels: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → residual stream, float32 [B, N, C]."""
        ends = self.ends
        patches = ends.patch_grid.fake(
            ends.patch_embed.apply(centred_patches(pixels, self.config.patch_size))
        )
        tokens = ends.stream.fake(patches + ends.position)
        x = torch.cat([ends.prefix.expand(len(tokens), -1, -1), tokens], dim=1)
        if ends.pre_norm is not None:
            x = ends.stream.fake(
                normalise(x, self.config.norm_eps) * ends.pre_norm.weight + ends.pre_norm.bias
            )
        return x

    def pool(self, x: Tensor) -> Tensor:
        """Residual stream → feature before it is quantized, float32 [B, C]."""
        config, norm = self.config, self.ends.norm
        if config.pool == "token":
            pooled = normalise(x[:, 0], config.norm_eps)
        elif config.pool_before_norm:
            pooled = normalise(x[:, config.prefix_tokens :].mean(dim=1), config.norm_eps)
        else:
            pooled = normalise(x[:, config.prefix_tokens :], config.norm_eps).mean(dim=1)
        return pooled * norm.weight + norm.bias

    def feature(self, pixels: Tensor) -> Tensor:
        """uint8 pixels → quantized feature, float32 [B, C]."""
        x = self.embed(pixels)
        for block in self.blocks:
            x = block(x)
        pooled = self.pool(x)
        return pooled if self.ends.feature is None else self.ends.feature.fake(pooled)

    def logits(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 pixels → logits [B, classes] and feature [B, C]; the feature twice where there is no head."""
        feature = self.feature(pixels)
        if self.ends.head is None or self.ends.feature is None:
            return feature, feature
        return self.ends.head.apply(self.ends.feature.stored(feature)), feature


def centred_patches(pixels: Tensor, patch: int) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, N, p·p·3] of ``pixel − 128``, as the Patchify operator orders them."""
    batch, height, width, channels = pixels.shape
    grid = pixels.view(batch, height // patch, patch, width // patch, patch, channels).transpose(2, 3)
    return grid.reshape(batch, -1, patch * patch * channels).float() - 128
