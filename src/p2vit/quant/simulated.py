"""The quantized ViT, simulated in float32 (fake-quantized); used for calibration and for the float-scale baselines.

With power-of-two scales, activations take only values that the integer program can represent. Results differ from the
program's only where float32 rounds.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from p2vit.models.config import Activation, ModelConfig
from p2vit.models.layers import activate, gather_tokens, rotate
from p2vit.models.windows import BlockShape
from p2vit.numerics.rotary import FRACTION
from p2vit.quant.attention import WindowAttention, attend
from p2vit.quant.config import Softmax
from p2vit.quant.embedding import QuantizedEmbedding
from p2vit.quant.fold import Affine, normalise
from p2vit.quant.grid import Grid
from p2vit.quant.maps import QuantizedMap
from p2vit.quant.weights import QuantizedLinear

#: Grid that a block's layer puts its output on, by the layer's name within the block.
OUTPUT_GRID = {
    "q": "q", "k": "k", "v": "v", "proj": "branch1", "fc1": "fc1", "up": "up", "fc2": "branch2",
}  # fmt: skip


@dataclass
class QuantizedBlock:
    """One quantized encoder block: grids of its activations, and linear layers with integer weights.

    Attributes:
        shape: Sizes, windows and patch merging.
        epsilon: ε of the LayerNorms.
        activation: Activation function of the MLP.
        score_exponent: log2 of the factor on the scores.
        softmax: Form of the softmax codes.
        grids: ``norm1``, ``q``, ``k``, ``v``, ``values``, ``branch1``, ``add1``, ``norm2``, ``fc1`` (the activation's
            input), ``gelu`` (its output), ``branch2``, ``add2``. With patch merging also ``merge`` (the LayerNorm
            before the reduction) and ``merged`` (the residual stream after it); with rotary positions ``q_linear`` and
            ``k_linear`` (before the rotation); with a gated MLP ``up``, ``gated`` (the product), and ``mlp_norm`` if a
            LayerNorm follows.
        layers: ``q``, ``k``, ``v``, ``proj``, ``fc1``, ``fc2``, ``reduction`` with patch merging, and ``up`` with a
            gated MLP.
        window_attention: Windows and their bias, or None for attention over all tokens.
        table_groups: Number of groups of neighbouring hidden channels; each has its own activation table.
    """

    shape: BlockShape
    epsilon: float
    activation: Activation
    score_exponent: int
    softmax: Softmax
    grids: dict[str, Grid] = field(default_factory=dict)
    layers: dict[str, QuantizedLinear] = field(default_factory=dict)
    window_attention: WindowAttention | None = None
    table_groups: int = 1

    @property
    def heads(self) -> int:
        """Number of heads, H."""
        return self.shape.heads

    def linear(self, name: str, stored: Tensor, grid: str) -> Tensor:
        """Apply a layer to stored integers, and round its output to a grid: float32 [..., N]."""
        return self.grids[grid].fake(self.layers[name].apply(stored))

    def output_grid(self, site: str) -> Grid:
        """Grid that a layer of the block puts its output on."""
        if site in ("q", "k") and self.shape.rotary is not None:
            return self.grids[f"{site}_linear"]
        return self.grids[OUTPUT_GRID[site]]

    @property
    def hidden_grid(self) -> str:
        """Name of the grid that ``fc2`` reads."""
        return "mlp_norm" if self.shape.mlp_norm else "gated" if self.shape.gated_mlp else "gelu"

    def turned(self, x: Tensor) -> Tensor:
        """Queries or keys [B, N, C] with their rotary positions, by the integer program's tables."""
        if self.shape.rotary is None:
            return x
        cosine, sine = (
            torch.from_numpy(table).to(x.dtype) / (1 << FRACTION)
            for table in self.shape.rotary.rounded(FRACTION)
        )
        heads = x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        return rotate(heads, cosine, sine).transpose(-2, -3).flatten(-2)

    def projected(self, name: str, stored: Tensor) -> Tensor:
        """Queries, keys or values, of stored integers of the normalised stream."""
        x = self.output_grid(name).fake(self.layers[name].apply(stored))
        return x if name == "v" or self.shape.rotary is None else self.grids[name].fake(self.turned(x))

    def score_scale(self) -> Tensor:
        """Return log2 of the scale of the scores in each head: float64 [H]."""
        q, k = (
            self.grids[name].log2_scale.expand(self.shape.dim).view(self.heads, -1)[:, 0] for name in "qk"
        )
        return q + k + self.score_exponent

    def score_bias(self) -> Tensor | None:
        """Return the bias as whole numbers at the scale of the scores: float64 [H, n, n]; None without windows."""
        if self.window_attention is None:
            return None
        step = torch.exp2(self.score_scale()).view(-1, 1, 1)
        return torch.floor(self.window_attention.bias.double() / step + 0.5)

    def gathered(self, x: Tensor) -> Tensor:
        """Gather the four neighbours that are merged into each token: float32 [B, 4·T, C] → [B, T, 4·C]."""
        assert self.shape.merge is not None
        index = torch.from_numpy(self.shape.merge.index.astype("int64"))
        return gather_tokens(x, index.flatten()).reshape(len(x), len(index), -1)

    def merged(self, x: Tensor) -> Tensor:
        """Apply patch merging: the residual stream of the stage before → that of this stage."""
        stored = self.grids["merge"].stored(normalise(self.gathered(x), self.epsilon))
        return self.linear("reduction", stored, "merged")

    def values(self, x: Tensor) -> Tensor:
        """Compute the attention output before it is quantized, from a residual stream: float32 [B, N, C]."""
        hidden = self.grids["norm1"].stored(normalise(x, self.epsilon))
        q, k, v = (self.projected(name, hidden) for name in "qkv")
        if self.window_attention is None:
            return attend(q, k, v, self.heads, self.score_exponent, self.softmax)
        fills = {name: self.grids[name].fake(fill) for name, fill in self.window_attention.fills.items()}
        q, k, v = (
            self.window_attention.gather(x, fills[name]) for x, name in zip((q, k, v), "qkv", strict=True)
        )
        bias = self.score_bias()
        assert bias is not None
        bias = (bias * torch.exp2(self.score_scale()).view(-1, 1, 1)).float()
        out = attend(q, k, v, self.heads, self.score_exponent, self.softmax, self.window_attention, bias)
        return self.window_attention.scatter(out)

    def add_attention(self, x: Tensor, values: Tensor) -> Tensor:
        """Return the residual stream after the attention half, from its input x and the result of :meth:`values`."""
        branch = self.linear("proj", self.grids["values"].stored(values), "branch1")
        return self.grids["add1"].fake(x + branch)

    def hidden(self, x: Tensor) -> Tensor:
        """Compute what ``fc2`` reads before it is quantized, from the stream after the attention half."""
        stored = self.grids["norm2"].stored(normalise(x, self.epsilon))
        hidden = activate(self.linear("fc1", stored, "fc1"), self.activation)
        if self.shape.gated_mlp:
            hidden = self.grids["gelu"].fake(hidden) * self.linear("up", stored, "up")
        if self.shape.mlp_norm:
            hidden = normalise(self.grids["gated"].fake(hidden), self.epsilon)
        return hidden

    def add_mlp(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return the residual stream after the MLP half, from its input x and the result of :meth:`hidden`."""
        branch = self.linear("fc2", self.grids[self.hidden_grid].stored(hidden), "branch2")
        return self.grids["add2"].fake(x + branch)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the residual stream after the block, float32 [B, N, C].

        With patch merging, x is the residual stream of the stage before.
        """
        if self.shape.merge is not None:
            x = self.merged(x)
        x = self.add_attention(x, self.values(x))
        return self.add_mlp(x, self.hidden(x))


@dataclass
class QuantizedPool:
    """An attention pooling head: a constant query attends to all tokens, and an MLP follows.

    Attributes:
        block: Grids and layers, named as in a block. There is no layer ``q`` and no first residual add; ``add1`` is the
            grid of the output of ``proj``.
        query: float32 [C], with 1/√d folded in if it is not a power of two.
    """

    block: QuantizedBlock
    query: Tensor

    def values(self, x: Tensor) -> Tensor:
        """Compute the attention output before it is quantized: float32 [B, N, C] → [B, 1, C]."""
        block = self.block
        hidden = block.grids["norm1"].stored(normalise(x, block.epsilon))
        k, v = (block.linear(name, hidden, name) for name in "kv")
        q = block.grids["q"].fake(self.query).expand(len(x), 1, -1)
        return attend(q, k, v, block.heads, block.score_exponent, block.softmax)

    def projected(self, values: Tensor) -> Tensor:
        """Return the input of the MLP half, from the result of :meth:`values`: float32 [B, 1, C]."""
        return self.block.linear("proj", self.block.grids["values"].stored(values), "add1")

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the pooled vector, float32 [B, C], from the residual stream."""
        pooled = self.projected(self.values(x))
        return self.block.add_mlp(pooled, self.block.hidden(pooled))[:, 0]


@dataclass
class QuantizedEnds:
    """The embedding before the blocks, and the last LayerNorm, the feature and the head after them.

    Attributes:
        patch_embed: Patch embedding of centred pixels.
        patch_grid: Grid of the patch embedding's output.
        stream: Grid of the tokens.
        prefix: Prefix tokens with their positions added, float32 [P, C] on the stream's grid; None without positions.
        position: Position embedding of the patch tokens, float32 [N, C] on the stream's grid; None without positions.
        pre_norm: Gain and bias of a LayerNorm right after the embedding, or None.
        norm: Gain and bias of the last LayerNorm, [pooled_dim] each; repeated if the feature joins two tokens.
        feature: Grid of the pooled vector.
        embedding: Layers of the image embedding, which then is the feature; or None.
        head: Classification layer, or None.
    """

    patch_embed: QuantizedLinear
    patch_grid: Grid
    stream: Grid
    prefix: Tensor | None
    position: Tensor | None
    pre_norm: Affine | None
    norm: Affine
    feature: Grid | None = None
    embedding: QuantizedEmbedding | None = None
    head: QuantizedLinear | None = None

    def head_input(self, pooled: Tensor) -> Tensor:
        """Compute the feature, which the head reads, from the pooled vector before it is quantized, float32 [B, C]."""
        if self.feature is None:
            return pooled
        if self.embedding is None:
            return self.feature.fake(pooled)
        return self.embedding.values(self.feature.stored(pooled))


@dataclass
class QuantizedViT:
    """A quantized model, simulated in float32.

    Attributes:
        config: Shape of the model.
        ends: Embedding, last LayerNorm and head.
        blocks: Encoder blocks, in order.
        pooling: Attention pooling head, or None.
        maps: Feature maps, in the order of their blocks.
    """

    config: ModelConfig
    ends: QuantizedEnds
    blocks: list[QuantizedBlock]
    pooling: QuantizedPool | None = None
    maps: list[QuantizedMap] = field(default_factory=list)

    def embed(self, pixels: Tensor) -> Tensor:
        """Compute the residual stream before the first block, float32 [B, N, C], from pixels uint8 [B, H, W, 3]."""
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
        """Compute the feature before it is quantized, float32 [B, C], from the last residual stream."""
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
        """Compute the quantized feature, float32 [B, C], from pixels uint8 [B, H, W, 3]."""
        x = self.embed(pixels)
        for block in self.blocks:
            x = block(x)
        return self.ends.head_input(self.pool(x))

    def logits(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits, float32 [B, classes], and the feature, float32 [B, C].

        Without a head, both are the feature.
        """
        feature = self.feature(pixels)
        grid = self.ends.feature if self.ends.embedding is None else self.ends.embedding.grid
        if self.ends.head is None or grid is None:
            return feature, feature
        return self.ends.head.apply(grid.stored(feature)), feature


def centred_patches(pixels: Tensor, patch: int) -> Tensor:
    """Cut photos uint8 [B, H, W, 3] into patches of ``pixel − 128``: float32 [B, N, p·p·3], as Patchify does."""
    batch, height, width, channels = pixels.shape
    grid = pixels.view(batch, height // patch, patch, width // patch, patch, channels).transpose(2, 3)
    return grid.reshape(batch, -1, patch * patch * channels).float() - 128
