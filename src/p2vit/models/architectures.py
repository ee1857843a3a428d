"""Table of known ViT architectures under timm's names, with preprocessing and size. Importable without torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from p2vit.errors import ModelError, did_you_mean
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.overrides import override_preprocessing
from p2vit.models.source_names import RESIZED
from p2vit.models.swin_config import SwinConfig
from p2vit.models.tags import TAGS
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

Config = TypeVar("Config", bound=ViTConfig | SwinConfig)
HALF = (0.5, 0.5, 0.5)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# Size name -> (embed_dim, depth, heads). The MLP has four times as many channels.
WIDTHS = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "so400m": (1152, 27, 16),
}


@dataclass(frozen=True)
class Architecture:
    """A shape and the preprocessing that its default weights expect.

    Attributes:
        config: Shape of the network.
        preprocessing: Preprocessing of the default weights. A loaded model brings its own.
        tag: timm's tag of the weights that the preprocessing belongs to; empty for timm's default weights.
    """

    config: ModelConfig
    preprocessing: Preprocessing
    tag: str = ""

    @property
    def name(self) -> str:
        """Name of the architecture."""
        return self.config.name


def find(name: str) -> Architecture:
    """Look up an architecture by name.

    Args:
        name: One of `names`, or ``NAME.TAG`` for the preprocessing of timm's weights with that tag.

    Returns:
        The architecture.

    Raises:
        ModelError: There is no architecture of that name, or it has no such tag.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    plain, _, tag = name.partition(".")
    if plain in ARCHITECTURES:
        # Where only p2vit has a name for an image size, the weights and tags are those of timm's name.
        origin = plain if not (resized := RESIZED.fullmatch(plain)) else resized[1]
        if (tagged := f"{origin}.{tag}") in TAGS:
            return with_fields(ARCHITECTURES[plain], tag, TAGS[tagged])
        known = [key.partition(".")[2] for key in TAGS if key.startswith(f"{origin}.")]
        raise ModelError(
            f"architecture '{plain}' has no weights tagged '{tag}'.{did_you_mean(tag, known)} "
            f"Known tags: {', '.join(known) or 'none'}. Use one of them, or omit '.{tag}' and state the preprocessing "
            "with --mean, --std, --crop-pct, --crop-mode and --interpolation"
        )
    raise ModelError(
        f"no architecture '{name}'.{did_you_mean(plain, ARCHITECTURES)} "
        f"'p2vit list' shows all {len(ARCHITECTURES)}"
    )


def with_fields(entry: Architecture, tag: str, fields: Mapping[str, Any]) -> Architecture:
    """Return an architecture with the preprocessing of other weights.

    Args:
        entry: The architecture.
        tag: timm's tag of the weights.
        fields: Fields of timm's configuration: any of ``mean``, ``std``, ``crop_pct``, ``crop_mode``,
            ``interpolation``.
    """
    return replace(entry, preprocessing=override_preprocessing(entry.preprocessing, **fields), tag=tag)


def names(pattern: str = "*") -> list[str]:
    """List the names of architectures.

    Args:
        pattern: Shell-style pattern, e.g. ``vit_*_dinov2``.

    Returns:
        Matching names in natural order: ``patch8`` before ``patch16``.
    """
    return sorted((name for name in ARCHITECTURES if fnmatchcase(name, pattern)), key=_natural)


def with_image_size(config: Config, image_size: int | tuple[int, int]) -> Config:
    """Return the same shape for photos of another size.

    Args:
        config: The shape.
        image_size: Pixels, one side or (height, width).

    Returns:
        The new shape. Position embeddings must be resampled to it.

    Raises:
        ModelError: The size is not a multiple of the patch size.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    try:
        return replace(config, image_size=size)
    except ValueError as error:
        raise ModelError(str(error)) from None


def parameters(config: ModelConfig) -> int:
    """Count the parameters of the canonical form, where LayerScale is folded and every token has a position.

    Args:
        config: The shape.

    Returns:
        Number of parameters, including biases and LayerNorms.
    """
    C, width = config.embed_dim, config.feature_dim
    embedding = config.patch_dim * C + C
    if config.positions:
        embedding += (config.prefix_tokens + config.tokens) * C
    norms = 2 * config.blocks[-1].dim + 2 * C * int(config.pre_norm)
    pooling = 0
    if config.pool == "attention":
        # The pooling head has a block's parameters without q and norm1, and with the query vector.
        pooling = config.blocks[-1].parameters - (C * C + C) - 2 * C + C
    head = (width + 1) * config.num_classes
    return embedding + sum(shape.parameters for shape in config.blocks) + norms + pooling + head


def macs(config: ModelConfig) -> int:
    """Count the multiply-accumulates per photo: linear layers and both attention products.

    Args:
        config: The shape.

    Returns:
        MACs. LayerNorm, softmax and activations are not counted.
    """
    C, N = config.embed_dim, config.tokens
    total = (N - config.prefix_tokens) * config.patch_dim * C + config.feature_dim * config.num_classes
    if config.pool == "attention":
        total += 2 * N * C * C + 2 * N * C + C * C + 2 * C * config.blocks[-1].mlp_dim
    return total + sum(shape.macs for shape in config.blocks)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that compares numbers by value, so that patch8 comes before patch16."""
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
        **{"mlp_dim": 4 * dim, **more},
    )
    return Architecture(config, preprocessing)


def _table() -> list[Architecture]:
    """Make the entries of all families."""
    half = {"mean": HALF, "std": HALF}
    table = []
    for width in ("tiny", "small", "base"):
        table.append(_entry(f"deit_{width}_patch16_224", width, 224, 16, crop_pct=0.9))
    table.append(_entry("deit_base_patch16_384", "base", 384, 16, crop_pct=1.0))
    distilled: dict[str, Any] = {"register_tokens": 1, "pool": "token_dist"}
    for width in ("tiny", "small", "base"):
        name = f"deit_{width}_distilled_patch16_224"
        table.append(_entry(name, width, 224, 16, crop_pct=0.9, **distilled))
    table.append(_entry("deit_base_distilled_patch16_384", "base", 384, 16, crop_pct=1.0, **distilled))
    for width in ("small", "base", "large"):
        table.append(_entry(f"deit3_{width}_patch16_224", width, 224, 16, crop_pct=0.9))
    for width in ("tiny", "small", "base", "large"):
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
    for patch, quick_pct, exact_pct in ((16, 1.0, 0.95), (32, 0.9, 0.9)):
        name = f"vit_base_patch{patch}_clip_quickgelu_224"
        table.append(_entry(name, "base", 224, patch, crop_pct=quick_pct, activation="quick_gelu", **clip))
        table.append(
            _entry(f"vit_base_patch{patch}_clip_224", "base", 224, patch, crop_pct=exact_pct, **clip)
        )
    siglip: dict[str, Any] = {
        "mean": HALF,
        "std": HALF,
        "class_token": False,
        "pool": "attention",
        "activation": "gelu_tanh",
        "num_classes": 0,
    }
    table.append(_entry("vit_base_patch32_siglip_256", "base", 256, 32, crop_pct=0.9, **siglip))
    for side in (224, 256, 384, 512):
        table.append(_entry(f"vit_base_patch16_siglip_{side}", "base", side, 16, crop_pct=0.9, **siglip))
    for side in (256, 384, 512):
        table.append(_entry(f"vit_large_patch16_siglip_{side}", "large", side, 16, crop_pct=0.9, **siglip))
    so400m = {**siglip, "mlp_dim": 4304}
    for patch, sides in ((14, (224, 378)), (16, (256, 384, 512))):
        for side in sides:
            name = f"vit_so400m_patch{patch}_siglip_{side}"
            table.append(_entry(name, "so400m", side, patch, crop_pct=0.9, **so400m))
    table += [*_evas(), *_perception_encoders(), *_beits(), *_dinov3s(), *_swins()]
    return table


def _evas() -> list[Architecture]:
    """EVA-02 (Fang et al.): rotary and learned positions, gated MLPs; a LayerNorm in the base size's MLP."""
    table = []
    for width, sides in (("tiny", (224, 336)), ("small", (224, 336)), ("base", (224, 448))):
        for side in sides:
            eva: dict[str, Any] = {
                "mean": CLIP_MEAN,
                "std": CLIP_STD,
                "activation": "silu",
                "gated_mlp": True,
                "mlp_dim": WIDTHS[width][0] * 8 // 3,
                "mlp_norm": width == "base",
                "pool": "avg",
                "pool_before_norm": True,
                "rope": "axial",
                "rope_reference": 16,
                "num_classes": 0 if side == 224 else 1000,
            }
            crop_pct = 0.9 if side == 224 else 1.0
            table.append(_entry(f"eva02_{width}_patch14_{side}", width, side, 14, crop_pct=crop_pct, **eva))
    return table


def _perception_encoders() -> list[Architecture]:
    """Perception Encoder, core (Bolya et al.): rotary and learned positions, SigLIP's pooling head with 8 heads."""
    core: dict[str, Any] = {
        "mean": HALF,
        "std": HALF,
        "norm_eps": 1e-5,
        "pre_norm": True,
        "pool": "attention",
        "pool_heads": 8,
        "rope": "axial",
        "rope_offset": 1.0,
        "rope_columns_first": True,
    }
    table = []
    sizes = (
        ("tiny", 384, 16, 512),
        ("small", 384, 16, 512),
        ("base", 224, 16, 1024),
        ("large", 336, 14, 1024),
    )
    for width, side, patch, classes in sizes:
        shape = {**core, "rope_reference": side // patch, "num_classes": classes}
        table.append(
            _entry(f"vit_pe_core_{width}_patch{patch}_{side}", width, side, patch, crop_pct=1.0, **shape)
        )
    return table


def _beits() -> list[Architecture]:
    """BEiT and BEiT v2 (Bao et al., Peng et al.): relative position bias instead of position embeddings."""
    beit: dict[str, Any] = {"pool": "avg", "pool_before_norm": True, "relative_positions": True}
    half = {"mean": HALF, "std": HALF}
    table = []
    for width, sides in (("base", (224, 384)), ("large", (224, 384, 512))):
        for side in sides:
            name, crop_pct = f"beit_{width}_patch16_{side}", 0.9 if side == 224 else 1.0
            table.append(_entry(name, width, side, 16, crop_pct=crop_pct, **beit, **half))
        crop_pct = 0.9 if width == "base" else 0.95
        table.append(_entry(f"beitv2_{width}_patch16_224", width, 224, 16, crop_pct=crop_pct, **beit))
    return table


def _dinov3s() -> list[Architecture]:
    """DINOv3 (Siméoni et al.): rotary positions alone, registers; the plus size has a gated MLP.

    The pool is timm's, the mean of the patches; transformers takes the class token.
    """
    dinov3: dict[str, Any] = {
        "num_classes": 0,
        "register_tokens": 4,
        "pool": "avg",
        "rope": "dinov3",
        "rope_temperature": 100.0,
        "norm_eps": 1e-5,
    }
    table = []
    for bias in ("", "_qkvb"):
        for width in ("small", "base", "large"):
            table.append(_entry(f"vit_{width}_patch16_dinov3{bias}", width, 256, 16, crop_pct=1.0, **dinov3))
        plus = {**dinov3, "activation": "silu", "gated_mlp": True}
        table.append(_entry(f"vit_small_plus_patch16_dinov3{bias}", "small", 256, 16, crop_pct=1.0, **plus))
    return table


def _swins() -> list[Architecture]:
    """Make the entries of Swin-T, S, B and L (Liu et al., ICCV 2021, table 7)."""
    sizes = {
        "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
        "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
        "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
        "large": (192, (2, 2, 18, 2), (6, 12, 24, 48)),
    }
    table = []
    for width, shape in sizes.items():
        for window, side, crop_pct in ((7, 224, 0.9), (12, 384, 1.0)):
            if window == 12 and width in ("tiny", "small"):
                continue
            name = f"swin_{width}_patch4_window{window}_{side}"
            config = SwinConfig(name, *shape, image_size=(side, side), window=window)
            preprocessing = Preprocessing(
                image_size=(side, side),
                resize="crop",
                crop_pct=crop_pct,
                interpolation="bicubic",
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
            )
            table.append(Architecture(config, preprocessing))
    return table


# Trained for this project on scikit-learn's digits: small enough for tests and for gate-level simulation.
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
