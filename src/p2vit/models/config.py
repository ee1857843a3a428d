"""Shape of a plain Vision Transformer, without weights. Importable without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from p2vit.models.rotary import Rope, RotaryPositions
from p2vit.models.swin_config import SwinConfig
from p2vit.models.windows import BlockShape, GlobalWindow

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu"]
Pool = Literal["token", "avg", "attention", "token_avg", "token_dist"]
#: Pools whose feature is the concatenation of two vectors.
PAIR_POOLS = ("token_avg", "token_dist")


@dataclass(frozen=True)
class ViTConfig:
    """Architecture of a plain ViT encoder in the canonical form that quantization starts from.

    Prefix tokens (class token, then register tokens) come before the patch tokens.

    Attributes:
        name: Name of the architecture, e.g. ``deit_tiny_patch16_224``.
        image_size: Pixels, (height, width); both multiples of ``patch_size``.
        patch_size: Side of a square patch, pixels.
        embed_dim: Channels of the residual stream.
        depth: Number of encoder blocks.
        heads: Attention heads; ``head_dim`` is ``embed_dim // heads``.
        mlp_dim: Hidden channels of the MLP.
        num_classes: Outputs of the head; 0 means no head, and the program's output is the feature.
        class_token: Whether a class token is prepended.
        register_tokens: Number of register tokens after the class token.
        activation: MLP activation; ``gelu`` is the exact (erf) function.
        pool: How the feature is made of the tokens. ``token``: the first token. ``avg``: mean over the patch tokens.
            ``attention`` (SigLIP): a learned query attends to all tokens after the last LayerNorm, and an MLP
            follows. ``token_avg`` (classifiers of DINOv2): class token and mean over the patch tokens, concatenated.
            ``token_dist`` (DeiT): class token and distillation token, concatenated; the distillation token is the
            first register.
        pre_norm: Whether a LayerNorm follows the embedding (CLIP).
        pool_before_norm: Whether pooling comes before the last LayerNorm (timm's ``fc_norm`` models).
        norm_eps: Epsilon of every LayerNorm.
        rope: Rotary position embedding of queries and keys: ``none``, ``axial`` (EVA-02) or ``dinov3``.
        rope_temperature: Ratio of its longest wavelength to its shortest.
        rope_reference: ``axial`` only: side of the grid, in patches, to which positions are scaled; 0 for none.
        rope_offset: ``axial`` only: position of the first row and column.
        rope_columns_first: Whether the first half of the pairs turns with the column instead of the row.
        gated_mlp: Whether the MLP multiplies the activation with a second linear layer (SwiGLU, GEGLU).
        mlp_norm: Whether a LayerNorm stands before the MLP's last linear layer (EVA-02 base).
        pool_heads: Heads of pool ``attention``; 0 for as many as the blocks have.
        relative_positions: Whether every block adds a bias to the scores that depends on the distance between two
            patches (BEiT).
        embedding_dim: Channels of the image embedding that the pooled vector is projected to (CLIP, SigLIP), normalised
            to a root mean square of 1; 0 if the feature is the pooled vector itself.
    """

    name: str
    image_size: tuple[int, int] = (224, 224)
    patch_size: int = 16
    embed_dim: int = 384
    depth: int = 12
    heads: int = 6
    mlp_dim: int = 1536
    num_classes: int = 1000
    class_token: bool = True
    register_tokens: int = 0
    activation: Activation = "gelu"
    pool: Pool = "token"
    pre_norm: bool = False
    pool_before_norm: bool = False
    norm_eps: float = 1e-6
    rope: Rope = "none"
    rope_temperature: float = 10000.0
    rope_reference: int = 0
    rope_offset: float = 0.0
    rope_columns_first: bool = False
    gated_mlp: bool = False
    mlp_norm: bool = False
    embedding_dim: int = 0
    relative_positions: bool = False
    pool_heads: int = 0

    positions: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check that a ViT can have this shape.

        Raises:
            ValueError: A field is not allowed. The message names the field, its value and the allowed values.
        """
        for side, pixels in zip(("height", "width"), self.image_size, strict=True):
            if pixels < self.patch_size or pixels % self.patch_size:
                raise ValueError(
                    f"{self.name}: image {side} {pixels} is not a positive multiple "
                    f"of patch_size {self.patch_size}"
                )
        if self.embed_dim % self.heads:
            raise ValueError(
                f"{self.name}: embed_dim {self.embed_dim} does not divide into {self.heads} heads"
            )
        if self.rope != "none" and self.head_dim % 4:
            raise ValueError(
                f"{self.name}: head_dim {self.head_dim} is no multiple of 4, which rotary position embedding needs"
            )
        if self.mlp_norm and not self.gated_mlp:
            raise ValueError(f"{self.name}: mlp_norm without gated_mlp is not supported")
        if self.pool == "attention" and self.gated_mlp:
            raise ValueError(f"{self.name}: pool 'attention' with a gated MLP is not supported")
        if self.pool == "token" and not self.class_token:
            raise ValueError(f"{self.name}: pool 'token' needs a class token; use pool 'avg'")
        if self.pool in PAIR_POOLS and (not self.class_token or not self.num_classes):
            raise ValueError(f"{self.name}: pool '{self.pool}' needs a class token and a head")
        if self.pool == "token_dist" and not self.register_tokens:
            raise ValueError(f"{self.name}: pool 'token_dist' needs a distillation token")
        if self.pool == "attention" and self.embed_dim % self.pool_shape.heads:
            raise ValueError(
                f"{self.name}: embed_dim {self.embed_dim} does not divide into {self.pool_heads} heads of the pool"
            )
        if self.relative_positions and (self.register_tokens or self.rope != "none"):
            raise ValueError(
                f"{self.name}: relative_positions with register tokens or rotary positions is not supported"
            )
        if self.relative_positions and self.pool == "attention":
            raise ValueError(f"{self.name}: pool 'attention' with relative_positions is not supported")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.embed_dim // self.heads

    @property
    def grid(self) -> tuple[int, int]:
        """Number of patches, (rows, columns)."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def prefix_tokens(self) -> int:
        """Number of tokens before the patch tokens."""
        return int(self.class_token) + self.register_tokens

    @property
    def tokens(self) -> int:
        """Number of tokens of the residual stream."""
        return self.grid[0] * self.grid[1] + self.prefix_tokens

    @property
    def patch_dim(self) -> int:
        """Values per patch: patch_size² × 3."""
        return self.patch_size**2 * 3

    @property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Shape of every block. All blocks of a plain ViT have the same shape."""
        shape = BlockShape(
            self.embed_dim,
            self.heads,
            self.mlp_dim,
            self.tokens,
            GlobalWindow(self.grid, self.prefix_tokens) if self.relative_positions else None,
            rotary=self.rotary,
            gated_mlp=self.gated_mlp,
            mlp_norm=self.mlp_norm,
        )
        return (shape,) * self.depth

    @property
    def rotary(self) -> RotaryPositions | None:
        """Rotary position embedding of every block, or None."""
        if self.rope == "none":
            return None
        return RotaryPositions(
            self.rope,
            self.grid,
            self.prefix_tokens,
            self.head_dim,
            self.rope_temperature,
            self.rope_reference,
            self.rope_offset,
            self.rope_columns_first,
        )

    @property
    def pool_shape(self) -> BlockShape:
        """Shape of the pooling head of pool ``attention``. It attends to all tokens, without positions."""
        return BlockShape(self.embed_dim, self.pool_heads or self.heads, self.mlp_dim, self.tokens)

    @property
    def feature_dim(self) -> int:
        """Channels of the feature."""
        return self.embedding_dim or self.pooled_dim

    @property
    def pooled_dim(self) -> int:
        """Channels of the pooled vector."""
        return self.embed_dim * (2 if self.pool in PAIR_POOLS else 1)

    @property
    def pooled_tokens(self) -> int:
        """Number of tokens that average pooling averages."""
        return self.grid[0] * self.grid[1]


#: Shape of any model in canonical form.
ModelConfig = ViTConfig | SwinConfig
