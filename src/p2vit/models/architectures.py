"""Plain ViTs that people use, by timm's names, with their preprocessing and their size. Imports no torch."""

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from p2vit.errors import ModelError, did_you_mean
from p2vit.models.config import ViTConfig
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

HALF = (0.5, 0.5, 0.5)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# Widths that share a name: (embed_dim, depth, heads); the MLP is four times as wide.
WIDTHS = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}


@dataclass(frozen=True)
class Architecture:
    """A shape and the preprocessing that its usual weights expect.

    Attributes:
        config: The shape.
        preprocessing: Of the usual weights; a loaded model brings its own.
    """

    config: ViTConfig
    preprocessing: Preprocessing

    @property
    def name(self) -> str:
        """What users type."""
        return self.config.name


def find(name: str) -> Architecture:
    """Look an architecture up.

    Args:
        name: One of `names`; a timm weight tag after a dot is ignored.

    Returns:
        The architecture.

    Raises:
        ModelError: there is none of that name.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if (plain := name.split(".")[0]) in ARCHITECTURES:
        return ARCHITECTURES[plain]
    raise ModelError(
        f"no architecture '{name}'.{did_you_mean(plain, ARCHITECTURES)} "
        f"'p2vit list' shows all {len(ARCHITECTURES)}"
    )


def names(pattern: str = "*") -> list[str]:
    """List architectures.

    Args:
        pattern: Shell-style, e.g. ``vit_*_dinov2``.

    Returns:
        Names in natural order.
    """
    return sorted((name for name in ARCHITECTURES if fnmatchcase(name, pattern)), key=_natural)


def with_image_size(config: ViTConfig, image_size: int | tuple[int, int]) -> ViTConfig:
    """Return the same shape for photos of another size.

    Args:
        config: The shape.
        image_size: Pixels, one side or (height, width).

    Returns:
        The new shape; position embeddings must be resampled to it.

    Raises:
        ModelError: the size is not a multiple of the patch.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    try:
        return replace(config, image_size=size)
    except ValueError as error:
        raise ModelError(str(error)) from None


def parameters(config: ViTConfig) -> int:
    """Count the weights of the canonical form: LayerScale is folded, every token has a position.

    Args:
        config: The shape.

    Returns:
        Numbers, biases and norms included.
    """
    C, hidden = config.embed_dim, config.mlp_dim
    block = 4 * (C * C + C) + (C * hidden + hidden) + (hidden * C + C) + 4 * C
    embedding = config.patch_dim * C + C + (config.prefix_tokens + config.tokens) * C
    norms = 2 * C * (1 + int(config.pre_norm))
    head = (C + 1) * config.num_classes
    return embedding + config.depth * block + norms + head


def macs(config: ViTConfig) -> int:
    """Count the multiply-accumulates of one photo: linears and both attention products.

    Args:
        config: The shape.

    Returns:
        MACs; norms, softmax and activations are not counted.
    """
    C, N = config.embed_dim, config.tokens
    patches = N - config.prefix_tokens
    block = 4 * N * C * C + 2 * N * N * C + 2 * N * C * config.mlp_dim
    return patches * config.patch_dim * C + config.depth * block + C * config.num_classes


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: numbers by value, so that patch8 comes before patch16."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _entry(name: str, width: str, side: int, patch: int, *, crop_pct: float, **more: Any) -> Architecture:
    """Make one entry of the table; ``mean``, ``std`` and ``resize`` go to the preprocessing."""
    dim, depth, heads = WIDTHS[width]
    preprocessing = Preprocessing(
        image_size=(side, side),
        resize="crop",
        crop_pct=crop_pct,
        interpolation="bicubic",
        mean=more.pop("mean", IMAGENET_MEAN),
        std=more.pop("std", IMAGENET_STD),
    )
    config = ViTConfig(
        name=name,
        image_size=(side, side),
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        heads=heads,
        mlp_dim=4 * dim,
        **more,
    )
    return Architecture(config, preprocessing)


def _table() -> list[Architecture]:
    """Spell the families out."""
    half = {"mean": HALF, "std": HALF}
    table = []
    for width in ("tiny", "small", "base"):
        table.append(_entry(f"deit_{width}_patch16_224", width, 224, 16, crop_pct=0.9))
    table.append(_entry("deit_base_patch16_384", "base", 384, 16, crop_pct=1.0))
    for width in ("small", "base", "large"):
        table.append(_entry(f"deit3_{width}_patch16_224", width, 224, 16, crop_pct=0.9))
    for width in WIDTHS:
        table.append(_entry(f"vit_{width}_patch16_224", width, 224, 16, crop_pct=0.9, **half))
        table.append(_entry(f"vit_{width}_patch16_384", width, 384, 16, crop_pct=1.0, **half))
    for width in ("small", "base", "large"):
        table.append(_entry(f"vit_{width}_patch32_224", width, 224, 32, crop_pct=0.9, **half))
    for registers, tag in ((0, "dinov2"), (4, "reg4_dinov2")):
        for width in ("small", "base", "large"):
            name, more = f"vit_{width}_patch14_{tag}", {"register_tokens": registers, "num_classes": 0}
            table.append(_entry(name, width, 518, 14, crop_pct=1.0, **more))
            table.append(_entry(f"{name}_224", width, 224, 14, crop_pct=1.0, **more))
    clip: dict[str, Any] = {
        "mean": CLIP_MEAN,
        "std": CLIP_STD,
        "pre_norm": True,
        "norm_eps": 1e-5,
        "num_classes": 512,
    }
    for patch in (16, 32):
        name = f"vit_base_patch{patch}_clip_quickgelu_224"
        table.append(_entry(name, "base", 224, patch, crop_pct=1.0, activation="quick_gelu", **clip))
        table.append(_entry(f"vit_base_patch{patch}_clip_224", "base", 224, patch, crop_pct=1.0, **clip))
    return table


# Trained here, on scikit-learn's digits: small enough for tests and for gate-level simulation.
DIGITS = Architecture(
    ViTConfig(
        name="digits",
        image_size=(8, 8),
        patch_size=2,
        embed_dim=64,
        depth=3,
        heads=2,
        mlp_dim=128,
        num_classes=10,
    ),
    Preprocessing(image_size=(8, 8), mean=HALF, std=HALF),
)

ARCHITECTURES: dict[str, Architecture] = {entry.name: entry for entry in [*_table(), DIGITS]}
