"""The canonical float form: every ViT is converted to it before it is quantized."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.layers import AttentionPool, Block, activate
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["AttentionPool", "Block", "CanonicalViT", "activate"]


class CanonicalViT(nn.Module):
    """A ViT from uint8 pixels to logits.

    The form differs from the original models as follows. LayerScale is folded into ``proj`` and ``fc2``. Query, key
    and value are three linear layers. The patch embedding is one linear layer over patches that are flattened in
    (row, column, channel) order. Every token has a row in ``position``, which is zero if the source has none. Swin has
    no ``position``; its blocks have relative position biases instead.

    Attributes:
        config: Shape of the network.
        mean: Mean per channel, buffer float [3], where black is 0 and white is 1.
        std: Standard deviation per channel, buffer float [3], where black is 0 and white is 1.
        patch_embed: Linear, patch_dim -> C.
        prefix: Parameter [prefix_tokens, C]: class token, then registers; None in Swin.
        position: Parameter [tokens, C], added to prefix and patch tokens; None in Swin.
        pre_norm: LayerNorm after the embedding, or None.
        blocks: `Block` × depth.
        norm: Last LayerNorm.
        attention_pool: Pooling head of SigLIP, or None.
        projection: Linear without bias, pooled_dim -> embedding_dim, or None.
        head: Linear, feature_dim -> num_classes, or None.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: ModelConfig,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        C = config.embed_dim
        self.config = config
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.patch_embed = nn.Linear(config.patch_dim, C)
        self.prefix = nn.Parameter(torch.zeros(config.prefix_tokens, C)) if config.positions else None
        self.position = nn.Parameter(torch.zeros(config.tokens, C)) if config.positions else None
        self.pre_norm = nn.LayerNorm(C, eps=config.norm_eps) if config.pre_norm else None
        self.blocks = nn.ModuleList(
            Block(shape, config.activation, config.norm_eps) for shape in config.blocks
        )
        self.norm = nn.LayerNorm(config.blocks[-1].dim, eps=config.norm_eps)
        self.attention_pool: AttentionPool | None = None
        if isinstance(config, ViTConfig) and config.pool == "attention":
            self.attention_pool = AttentionPool(config.pool_shape, config.activation, config.norm_eps)
        self.projection: nn.Linear | None = None
        if config.embedding_dim:
            self.projection = nn.Linear(config.pooled_dim, config.embedding_dim, bias=False)
        self.head = nn.Linear(config.feature_dim, config.num_classes) if config.num_classes else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the whole model.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float logits [B, num_classes], or features [B, feature_dim] when there is no head.
        """
        features = self.features(pixels)
        return features if self.head is None else self.head(features)

    def features(self, pixels: Tensor) -> Tensor:
        """Compute the features, which the head reads: the pooled tokens behind the last LayerNorm, or the embedding.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, feature_dim].
        """
        pooled = self.pool(self.encode(pixels))
        return pooled if self.projection is None else root_mean_square_one(self.projection(pooled))

    def encode(self, pixels: Tensor) -> Tensor:
        """Run the embedding and all blocks, without pooling and the last LayerNorm.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Output of the last block, float [B, tokens, C].
        """
        x = self.embed(pixels)
        for block in self.blocks:
            x = block(x)
        return x

    def feature_maps(self, pixels: Tensor, layers: Iterable[int]) -> dict[int, Tensor]:
        """Patch tokens behind some blocks, each through the last LayerNorm.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.
            layers: Blocks, counted from 0.

        Returns:
            Block -> float [B, patches, C], patches row by row.
        """
        wanted, found, x = set(layers), {}, self.embed(pixels)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in wanted:
                found[index] = self.norm(x[:, self.config.prefix_tokens :])
        return found

    def embed(self, pixels: Tensor) -> Tensor:
        """Turn pixels into the residual stream that block 0 reads.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, tokens, C].
        """
        x = self.patch_embed(self.patches(pixels))
        if self.prefix is not None and self.position is not None:
            x = torch.cat([self.prefix.expand(len(x), -1, -1), x], dim=1) + self.position
        return x if self.pre_norm is None else self.pre_norm(x)

    def patches(self, pixels: Tensor) -> Tensor:
        """Normalise pixels and cut them into patches.

        Args:
            pixels: uint8 [B, H, W, 3], RGB.

        Returns:
            Float [B, patches, patch_dim]: patches row by row, each flattened in (row, column, channel) order.

        Raises:
            ValueError: The pixels have another dtype or size.
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
        """Pool the tokens and apply the last LayerNorm, in the order that the model's configuration states.

        Args:
            x: Output of the last block, float [B, tokens, C].

        Returns:
            Float [B, pooled_dim].
        """
        if self.config.pool == "token_dist":
            return self.norm(x[:, :2]).flatten(1)
        if self.config.pool == "token_avg":
            x = self.norm(x)
            return torch.cat([x[:, 0], x[:, self.config.prefix_tokens :].mean(dim=1)], dim=1)
        if self.config.pool == "token":
            return self.norm(x[:, 0])  # LayerNorm works row by row: pooling first is the same and cheaper
        if self.attention_pool is not None:
            return self.attention_pool(self.norm(x))
        patches = x[:, self.config.prefix_tokens :]
        if self.config.pool_before_norm:
            return self.norm(patches.mean(dim=1))
        return self.norm(patches).mean(dim=1)


def root_mean_square_one(x: Tensor) -> Tensor:
    """Scale vectors to a root mean square of 1, so that their length is the square root of their channels.

    Args:
        x: Float [B, C].
    """
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5
