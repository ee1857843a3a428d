"""The one float form that every ViT is brought to before it is quantized."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from p2vit.models.config import Activation, ViTConfig
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD


def activate(x: Tensor, kind: Activation) -> Tensor:
    """Apply an MLP activation by its name in `ViTConfig`.

    Args:
        x: Float, any shape.
        kind: ``gelu`` (erf), ``gelu_tanh``, or ``quick_gelu`` (x · sigmoid(1.702 x)).

    Returns:
        Float, shape of ``x``.
    """
    if kind == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


class Block(nn.Module):
    """One encoder block: x + attention(norm1(x)), then x + mlp(norm2(x)).

    Usable alone: quantization works block by block.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        C, hidden = config.embed_dim, config.mlp_dim
        self.heads = config.heads
        self.activation = config.activation
        self.norm1 = nn.LayerNorm(C, eps=config.norm_eps)
        self.q = nn.Linear(C, C)
        self.k = nn.Linear(C, C)
        self.v = nn.Linear(C, C)
        self.proj = nn.Linear(C, C)
        self.norm2 = nn.LayerNorm(C, eps=config.norm_eps)
        self.fc1 = nn.Linear(C, hidden)
        self.fc2 = nn.Linear(hidden, C)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: Float [B, tokens, C], the residual stream.

        Returns:
            Float [B, tokens, C].
        """
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def attention(self, x: Tensor) -> Tensor:
        """Attend, on an input that is already normalised; the residual is not added.

        Args:
            x: Float [B, tokens, C].

        Returns:
            Float [B, tokens, C].
        """
        q, k, v = (self.split_heads(linear(x)) for linear in (self.q, self.k, self.v))
        return self.proj(self.merge_heads(F.scaled_dot_product_attention(q, k, v)))

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP, on an input that is already normalised; the residual is not added.

        Args:
            x: Float [B, tokens, C].

        Returns:
            Float [B, tokens, C].
        """
        return self.fc2(activate(self.fc1(x), self.activation))

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, tokens, C] to [B, heads, tokens, head_dim]; head h owns channels h·head_dim and up."""
        B, N, C = x.shape
        return x.reshape(B, N, self.heads, C // self.heads).transpose(1, 2)

    @staticmethod
    def merge_heads(x: Tensor) -> Tensor:
        """[B, heads, tokens, head_dim] back to [B, tokens, C]."""
        B, H, N, D = x.shape
        return x.transpose(1, 2).reshape(B, N, H * D)


class CanonicalViT(nn.Module):
    """A plain ViT from uint8 pixels to logits, with everything foldable folded.

    LayerScale is inside ``proj`` and ``fc2``, query, key and value are three separate linears, the patch
    embedding is one linear over patches flattened in (row, column, channel) order, and every token has a row
    in ``position`` (zeros where the source model has none).

    Attributes:
        config: The shape.
        mean: Buffer, float [3], in units of 255.
        std: Buffer, float [3], in units of 255.
        patch_embed: Linear, patch_dim -> C.
        prefix: Parameter [prefix_tokens, C]: class token, then registers.
        position: Parameter [tokens, C], added to prefix and patch tokens.
        pre_norm: LayerNorm after the embedding, or None.
        blocks: `Block` × depth.
        norm: Last LayerNorm.
        head: Linear, C -> num_classes, or None.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: ViTConfig,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        C = config.embed_dim
        self.config = config
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.patch_embed = nn.Linear(config.patch_dim, C)
        self.prefix = nn.Parameter(torch.zeros(config.prefix_tokens, C))
        self.position = nn.Parameter(torch.zeros(config.tokens, C))
        self.pre_norm = nn.LayerNorm(C, eps=config.norm_eps) if config.pre_norm else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(C, eps=config.norm_eps)
        self.head = nn.Linear(C, config.num_classes) if config.num_classes else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the whole model.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float logits [B, num_classes], or features [B, C] when there is no head.
        """
        features = self.features(pixels)
        return features if self.head is None else self.head(features)

    def features(self, pixels: Tensor) -> Tensor:
        """Run up to what the head sees: pooled, after the last LayerNorm.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, C].
        """
        return self.pool(self.encode(pixels))

    def encode(self, pixels: Tensor) -> Tensor:
        """Run embedding and blocks, before pooling and the last LayerNorm.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, tokens, C].
        """
        x = self.embed(pixels)
        for block in self.blocks:
            x = block(x)
        return x

    def embed(self, pixels: Tensor) -> Tensor:
        """Turn pixels into the residual stream that block 0 reads.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, tokens, C].
        """
        x = self.patch_embed(self.patches(pixels))
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], dim=1) + self.position
        return x if self.pre_norm is None else self.pre_norm(x)

    def patches(self, pixels: Tensor) -> Tensor:
        """Normalise and cut into patches.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, patches, patch_dim]; patches row by row, each flattened in (row, column, channel) order.

        Raises:
            ValueError: pixels are of another type or size.
        """
        height, width = self.config.image_size
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != (height, width, 3):
            raise ValueError(
                f"{self.config.name}: pixels must be uint8 [B, {height}, {width}, 3], "
                f"not {pixels.dtype} {list(pixels.shape)}"
            )
        x = (pixels.to(self.mean.dtype) / 255 - self.mean) / self.std
        (rows, columns), p = self.config.grid, self.config.patch_size
        x = x.reshape(len(x), rows, p, columns, p, 3).transpose(2, 3)
        return x.reshape(len(x), rows * columns, self.config.patch_dim)

    def pool(self, x: Tensor) -> Tensor:
        """Pool and apply the last LayerNorm, in the model's own order.

        Args:
            x: Float [B, tokens, C], what the last block puts out.

        Returns:
            Float [B, C].
        """
        if self.config.pool == "token":
            return self.norm(x[:, 0])  # LayerNorm works row by row: pooling first is the same and cheaper
        patches = x[:, self.config.prefix_tokens :]
        if self.config.pool_before_norm:
            return self.norm(patches.mean(dim=1))
        return self.norm(patches).mean(dim=1)
