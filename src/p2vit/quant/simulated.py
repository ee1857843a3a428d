"""The quantized ViT in float arithmetic on grid values: what search and the float-scale baselines run on.

With power-of-two scales every value here is one that the integer program represents; sums differ from the program's
only where float32 rounds.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from p2vit.models.config import Activation, ModelConfig
from p2vit.models.layers import activate, gather_tokens
from p2vit.models.windows import BlockShape
from p2vit.quant.attention import Inside, attend
from p2vit.quant.config import Softmax
from p2vit.quant.fold import Affine, normalise
from p2vit.quant.grid import Grid
from p2vit.quant.maps import QuantizedMap
from p2vit.quant.weights import QuantizedLinear


@dataclass
class QuantizedBlock:
    """One encoder block: grids of its activations, layers in integers.

    Attributes:
        shape: Sizes, windows, merging.
        epsilon: Of the LayerNorms.
        activation: Of the MLP.
        score_exponent: log2 of the factor that scores still get.
        softmax: Form of the codes.
        grids: ``norm1``, ``q``, ``k``, ``v``, ``values``, ``branch1``, ``add1``, ``norm2``, ``fc1`` (the activation's
            input), ``gelu`` (its output), ``branch2``, ``add2``; ``merge`` (the norm before the reduction) and
            ``merged`` (the stream after it) where patches are merged.
        layers: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``, and ``reduction`` where patches are merged.
        inside: Windows, or None.
        table_groups: Groups of neighbouring channels with a table of the activation each.
    """

    shape: BlockShape
    epsilon: float
    activation: Activation
    score_exponent: int
    softmax: Softmax
    grids: dict[str, Grid] = field(default_factory=dict)
    layers: dict[str, QuantizedLinear] = field(default_factory=dict)
    inside: Inside | None = None
    table_groups: int = 1

    @property
    def heads(self) -> int:
        """H."""
        return self.shape.heads

    def linear(self, name: str, stored: Tensor, grid: str) -> Tensor:
        """A layer of stored integers, re-quantized to a grid's values."""
        return self.grids[grid].fake(self.layers[name].apply(stored))

    def score_scale(self) -> Tensor:
        """What a score's 1 stands for in each head, as log2: float64 [H]."""
        q, k = (
            self.grids[name].log2_scale.expand(self.shape.dim).view(self.heads, -1)[:, 0] for name in "qk"
        )
        return q + k + self.score_exponent

    def score_bias(self) -> Tensor | None:
        """Bias of the scores, whole numbers at their scale: float64 [H, n, n]; None without windows."""
        if self.inside is None:
            return None
        step = torch.exp2(self.score_scale()).view(-1, 1, 1)
        return torch.floor(self.inside.bias.double() / step + 0.5)

    def gathered(self, x: Tensor) -> Tensor:
        """Four neighbours side by side, for the stream of the stage before: float32 [B, T, 4·C]."""
        assert self.shape.merge is not None
        index = torch.from_numpy(self.shape.merge.index.astype("int64"))
        return gather_tokens(x, index.flatten()).reshape(len(x), len(index), -1)

    def merged(self, x: Tensor) -> Tensor:
        """Patch merging: the stream of the stage before to this one's."""
        stored = self.grids["merge"].stored(normalise(self.gathered(x), self.epsilon))
        return self.linear("reduction", stored, "merged")

    def values(self, x: Tensor) -> Tensor:
        """Attention output before it is quantized, for a residual stream x: float32 [B, N, C]."""
        hidden = self.grids["norm1"].stored(normalise(x, self.epsilon))
        q, k, v = (self.linear(name, hidden, name) for name in "qkv")
        if self.inside is None:
            return attend(q, k, v, self.heads, self.score_exponent, self.softmax)
        fills = {name: self.grids[name].fake(fill) for name, fill in self.inside.fills.items()}
        q, k, v = (self.inside.gather(x, fills[name]) for x, name in zip((q, k, v), "qkv", strict=True))
        bias = self.score_bias()
        assert bias is not None
        bias = (bias * torch.exp2(self.score_scale()).view(-1, 1, 1)).float()
        out = attend(q, k, v, self.heads, self.score_exponent, self.softmax, self.inside, bias)
        return self.inside.scatter(out)

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
        """Residual stream → residual stream, float32 [B, N, C]; from the stage before where patches are merged."""
        if self.shape.merge is not None:
            x = self.merged(x)
        x = self.add_attention(x, self.values(x))
        return self.add_mlp(x, self.hidden(x))


@dataclass
class QuantizedPool:
    """A pooling head: a constant query attends to all tokens, an MLP follows.

    Attributes:
        block: Its grids and layers, by the names that a block has; there is no ``q`` layer and no residual
            before ``add1``, which is the grid of what ``proj`` puts out.
        query: float32 [C], 1/√d folded in where it is no power of two.
    """

    block: QuantizedBlock
    query: Tensor

    def values(self, x: Tensor) -> Tensor:
        """Attention output before it is quantized: float32 [B, N, C] → [B, 1, C]."""
        block = self.block
        hidden = block.grids["norm1"].stored(normalise(x, block.epsilon))
        k, v = (block.linear(name, hidden, name) for name in "kv")
        q = block.grids["q"].fake(self.query).expand(len(x), 1, -1)
        return attend(q, k, v, block.heads, block.score_exponent, block.softmax)

    def projected(self, values: Tensor) -> Tensor:
        """What the MLP half starts from, for :meth:`values`: float32 [B, 1, C]."""
        return self.block.linear("proj", self.block.grids["values"].stored(values), "add1")

    def __call__(self, x: Tensor) -> Tensor:
        """Residual stream → pooled vector, float32 [B, C]."""
        pooled = self.projected(self.values(x))
        return self.block.add_mlp(pooled, self.block.hidden(pooled))[:, 0]


@dataclass
class QuantizedEnds:
    """What stands before and after the blocks.

    Attributes:
        patch_embed: Layer of centred pixels.
        patch_grid: Grid of its output.
        stream: Grid of the tokens.
        prefix: float32 [P, C] on the stream's grid, positions added; None where the model has no positions.
        position: float32 [N, C] of the patch tokens, on the stream's grid; or None.
        pre_norm: Gain and bias of a LayerNorm right after the embedding, or None.
        norm: Gain and bias of the last LayerNorm: [feature_dim] each; twice where two vectors are side by side.
        feature: Grid of the feature.
        head: Layer of the feature, or None.
    """

    patch_embed: QuantizedLinear
    patch_grid: Grid
    stream: Grid
    prefix: Tensor | None
    position: Tensor | None
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
        pooling: Pooling head, or None.
        maps: Feature maps, in the order of their blocks.
    """

    config: ModelConfig
    ends: QuantizedEnds
    blocks: list[QuantizedBlock]
    pooling: QuantizedPool | None = None
    maps: list[QuantizedMap] = field(default_factory=list)

    def embed(self, pixels: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → residual stream, float32 [B, N, C]."""
        ends = self.ends
        patches = ends.patch_grid.fake(
            ends.patch_embed.apply(centred_patches(pixels, self.config.patch_size))
        )
        x = patches
        if ends.prefix is not None and ends.position is not None:
            x = ends.stream.fake(x + ends.position)
            x = torch.cat([ends.prefix.expand(len(x), -1, -1), x], dim=1)
        if ends.pre_norm is not None:
            x = ends.stream.fake(
                normalise(x, self.config.norm_eps) * ends.pre_norm.weight + ends.pre_norm.bias
            )
        return x

    def pool(self, x: Tensor) -> Tensor:
        """Residual stream → feature before it is quantized, float32 [B, C]."""
        config, norm = self.config, self.ends.norm
        if self.pooling is not None:
            return self.pooling(x) * norm.weight + norm.bias
        if config.pool == "token_dist":
            pooled = normalise(x[:, :2], config.norm_eps).flatten(1)
        elif config.pool == "token_avg":
            x = normalise(x, config.norm_eps)
            pooled = torch.cat([x[:, 0], x[:, config.prefix_tokens :].mean(dim=1)], dim=1)
        elif config.pool == "token":
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
