"""Read the shape of torchvision's models from their tensors, and convert its ViT to canonical names. Pure functions."""

from collections.abc import Mapping

import torch
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.config import ViTConfig
from p2vit.models.sources.facts import Facts
from p2vit.models.sources.position import full_positions
from p2vit.models.sources.reader import StateReader, patch_linear
from p2vit.models.swin_config import SwinConfig
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

#: Head dim of every ViT in torchvision except the largest.
USUAL_HEAD_DIM = 64
#: (channels, blocks) → heads of torchvision's only ViT with another head dim, ``vit_h_14``.
OTHER_HEADS = {(1280, 32): 16}


def preprocessing_of(image_size: tuple[int, int]) -> Preprocessing:
    """Return torchvision's preprocessing for ImageNet: resize the shorter side to 8/7 of the image size, centre crop.

    Args:
        image_size: Image size of the model in pixels, (height, width).
    """
    return Preprocessing(
        image_size=image_size,
        resize="crop",
        crop_pct=0.875,
        interpolation="bilinear",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def vit_config(facts: Facts, heads: int | None, source: str) -> tuple[ViTConfig, list[str]]:
    """Read the shape of torchvision's ViT from its tensors.

    Args:
        facts: Sizes of the tensors.
        heads: Number of attention heads that the user stated, or None. No tensor shows it.
        source: Name of the source for notes and error messages.

    Returns:
        (shape, notes on what was assumed).

    Raises:
        ModelError: The sizes are not those of a ViT, or the number of heads is unknown.
    """
    side = facts.grid
    if side is None:
        raise ModelError(
            f"{source}: {facts.rows} position embeddings do not fit a class token and a square grid of patches"
        )
    C, notes = facts.embed_dim, []
    if heads is None:
        heads = OTHER_HEADS.get((C, facts.depth)) or (0 if C % USUAL_HEAD_DIM else C // USUAL_HEAD_DIM)
        if not heads:
            raise ModelError(
                f"{source}: torchvision's files do not state the number of attention heads, and {C} channels are not "
                f"a multiple of the usual head dim {USUAL_HEAD_DIM}; state the number with --heads"
            )
        notes.append(
            f"{source}: assumed {heads} attention heads of {C // heads} channels, as in torchvision's own models; "
            "the file does not state it. State another number with --heads"
        )
    size = side * facts.patch_size
    shape = f"{C} channels, {facts.depth} blocks, {facts.mlp_dim} in the MLP, patch {facts.patch_size}"
    notes.append(f"{source}: a ViT of torchvision for {size} × {size} pixels: {shape}, from its tensors")
    try:
        config = ViTConfig(
            name=f"torchvision_vit_{C}_{facts.depth}_patch{facts.patch_size}_{size}",
            image_size=(size, size),
            patch_size=facts.patch_size,
            embed_dim=C,
            depth=facts.depth,
            heads=heads,
            mlp_dim=facts.mlp_dim,
            num_classes=facts.classes,
        )
    except ValueError as error:
        raise ModelError(f"{source}: {error}") from None
    return config, notes


def swin_config(facts: Facts, source: str) -> tuple[SwinConfig, list[str]]:
    """Read the shape of torchvision's Swin from its tensors. They do not show the image size.

    Args:
        facts: Sizes of the tensors.
        source: Name of the source for notes and error messages.

    Returns:
        (shape for 224 × 224 pixels, notes on what was assumed).

    Raises:
        ModelError: The sizes are not those of a Swin.
    """
    try:
        config = SwinConfig(
            name=f"torchvision_swin_{facts.embed_dim}_{sum(facts.depths)}_window{facts.window}",
            embed_dim=facts.embed_dim,
            depths=facts.depths,
            heads=facts.heads,
            patch_size=facts.patch_size,
            window=facts.window,
            mlp_ratio=facts.mlp_dim / facts.embed_dim,
            num_classes=facts.classes,
            rule="torchvision",
        )
    except ValueError as error:
        raise ModelError(f"{source}: {error}") from None
    return config, [f"{source}: a Swin of torchvision for 224 × 224 pixels; --image-size changes it"]


def canonical_from_torchvision(
    state: Mapping[str, Tensor], config: ViTConfig, source: str
) -> dict[str, Tensor]:
    """Convert a state dict: rename, and split the fused query, key and value.

    Args:
        state: torchvision's names -> tensors.
        config: Expected shape.
        source: Name of the source for error messages.

    Returns:
        Canonical names -> float32 tensors.

    Raises:
        ModelError: A tensor is missing, superfluous, of a wrong shape or not finite.
    """
    read = StateReader(state, source)
    C, p, hidden = config.embed_dim, config.patch_size, config.mlp_dim
    out = {
        "patch_embed.weight": patch_linear(read.take("conv_proj.weight", (C, 3, p, p))),
        "patch_embed.bias": read.take_or("conv_proj.bias", (C,)),
        "prefix": read.take("class_token", (1, C)),
    }
    positions = read.take_positions("encoder.pos_embedding", C)
    # torchvision's interpolate_embeddings resamples without antialiasing.
    out["position"] = full_positions(positions, 1, config.grid, C, antialias=False)
    for index in range(config.depth):
        old, new = f"encoder.layers.encoder_layer_{index}.", f"blocks.{index}."
        read.copy(out, f"{old}ln_1", f"{new}norm1", (C,))
        read.copy(out, f"{old}ln_2", f"{new}norm2", (C,))
        fused = f"{old}self_attention.in_proj"
        read.copy_fused(out, fused, [f"{new}{letter}" for letter in "qkv"], C, separator="_")
        read.copy(out, f"{old}self_attention.out_proj", f"{new}proj", (C, C))
        # Before version 0.13, torchvision had other names for the MLP's layers.
        first, second = ("0", "3") if f"{old}mlp.0.weight" in read else ("linear_1", "linear_2")
        read.copy(out, f"{old}mlp.{first}", f"{new}fc1", (hidden, C))
        read.copy(out, f"{old}mlp.{second}", f"{new}fc2", (C, hidden))
    read.copy(out, "encoder.ln", "norm", (C,))
    if config.num_classes:
        read.copy(out, "heads.head", "head", (config.num_classes, C))
    read.finish(config.name)
    return {name: value.to(torch.float32) for name, value in out.items()}
