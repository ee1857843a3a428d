"""Shape of a Swin Transformer, without weights. Importable without torch."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from p2vit.models.windows import BlockShape, Merge, Pair, Windows

#: Library whose rule applies to padding and to windows that are larger than the grid of a stage.
WindowRule = Literal["timm", "transformers", "torchvision"]


@dataclass(frozen=True)
class SwinConfig:
    """Architecture of a Swin Transformer (Liu et al., ICCV 2021) in the canonical form.

    The class has the same properties as `p2vit.models.config.ViTConfig`. Blocks are numbered across all stages.

    Attributes:
        name: Name of the architecture.
        embed_dim: Channels of the first stage; each later stage doubles them.
        depths: Blocks per stage.
        heads: Heads per stage.
        image_size: Pixels, (height, width); both multiples of ``patch_size``.
        patch_size: Side of a square patch, pixels.
        window: Side of a window in tokens, or (rows, columns) per stage. On a smaller grid, the window shrinks.
        mlp_ratio: Hidden channels of the MLP, relative to the channels of the stage.
        num_classes: Outputs of the head; 0 means no head.
        activation: MLP activation.
        norm_eps: Epsilon of every LayerNorm.
        rule: Library whose rule for windows applies, see `WindowRule`.
    """

    name: str
    embed_dim: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    image_size: Pair = (224, 224)
    patch_size: int = 4
    window: int | tuple[Pair, ...] = 7
    mlp_ratio: float = 4.0
    num_classes: int = 1000
    activation: Literal["gelu", "gelu_tanh", "quick_gelu", "silu"] = "gelu"
    norm_eps: float = 1e-5
    rule: WindowRule = "timm"

    pool: ClassVar[Literal["avg"]] = "avg"
    pool_before_norm: ClassVar[bool] = False
    pre_norm: ClassVar[bool] = True
    positions: ClassVar[bool] = False
    prefix_tokens: ClassVar[int] = 0
    embedding_dim: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Check that a Swin can have this shape.

        Raises:
            ValueError: A field is not allowed. The message names the field, its value and the allowed values.
        """
        for side, pixels in zip(("height", "width"), self.image_size, strict=True):
            if pixels < self.patch_size or pixels % self.patch_size:
                raise ValueError(
                    f"{self.name}: image {side} {pixels} is not a positive multiple "
                    f"of patch_size {self.patch_size}"
                )
        if len(self.depths) != len(self.heads) or not self.depths or min(self.depths) < 1:
            raise ValueError(
                f"{self.name}: depths {self.depths} and heads {self.heads} must be one per stage"
            )
        if not isinstance(self.window, int) and len(self.window) != len(self.depths):
            raise ValueError(f"{self.name}: {len(self.window)} windows for {len(self.depths)} stages")
        for stage, heads in enumerate(self.heads):
            if (self.embed_dim << stage) % heads:
                raise ValueError(
                    f"{self.name}: {self.embed_dim << stage} channels do not divide into {heads} heads"
                )
        if self.rule == "transformers":
            for stage in range(len(self.depths)):
                if min(self.stage_grid(stage)) < self._window(stage)[0]:
                    raise ValueError(
                        f"{self.name}: stage {stage} has {self.stage_grid(stage)} tokens, fewer than a window of "
                        f"{self._window(stage)[0]}; transformers' own Swin cannot run that"
                    )

    @property
    def grid(self) -> Pair:
        """Number of patches, (rows, columns)."""
        return self.stage_grid(0)

    @property
    def tokens(self) -> int:
        """Number of tokens in the first stage."""
        return self.grid[0] * self.grid[1]

    @property
    def patch_dim(self) -> int:
        """Values per patch: patch_size² × 3."""
        return self.patch_size**2 * 3

    @property
    def depth(self) -> int:
        """Number of blocks of all stages together."""
        return sum(self.depths)

    @property
    def pooled_dim(self) -> int:
        """Channels of the pooled vector, which is the feature."""
        return self.feature_dim

    @property
    def feature_dim(self) -> int:
        """Channels of the last stage."""
        return self.embed_dim << (len(self.depths) - 1)

    @property
    def pooled_tokens(self) -> int:
        """Number of tokens that average pooling averages: those of the last stage."""
        rows, columns = self.stage_grid(len(self.depths) - 1)
        return rows * columns

    @cached_property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Shape of every block."""
        shapes = []
        for stage, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            grid, dim = self.stage_grid(stage), self.embed_dim << stage
            for index in range(depth):
                merge = Merge(self.stage_grid(stage - 1), dim // 2) if stage and not index else None
                windows = self._windows(stage, shifted=index % 2 == 1)
                hidden = int(dim * self.mlp_ratio)
                shapes.append(BlockShape(dim, heads, hidden, grid[0] * grid[1], windows, merge))
        return tuple(shapes)

    def stage_grid(self, stage: int) -> Pair:
        """Return the tokens of a stage, (rows, columns). Each stage halves the sides and rounds up."""
        rows, columns = (side // self.patch_size for side in self.image_size)
        return -(-rows >> stage), -(-columns >> stage)

    def _window(self, stage: int) -> Pair:
        return (self.window, self.window) if isinstance(self.window, int) else self.window[stage]

    def _windows(self, stage: int, *, shifted: bool) -> Windows:
        """Make the windows of a block by the library's rule."""
        grid, wanted = self.stage_grid(stage), self._window(stage)
        if self.rule == "transformers":
            side = wanted[0]
            small = min(grid) <= side
            size = (min(grid), min(grid)) if small else (side, side)
            shift = (0, 0) if small or not shifted else (side // 2, side // 2)
            return Windows(grid, size, shift, pad_first=True)
        if self.rule == "torchvision":
            padded = Windows(grid, wanted).padded
            moved = [w // 2 if shifted and side > w else 0 for side, w in zip(padded, wanted, strict=True)]
            return Windows(grid, wanted, (moved[0], moved[1]), pad_first=True)
        size = min(grid[0], wanted[0]), min(grid[1], wanted[1])
        shift = tuple(w // 2 if shifted and n > w else 0 for n, w in zip(grid, wanted, strict=True))  # type: ignore[assignment]
        return Windows(grid, size, shift)
