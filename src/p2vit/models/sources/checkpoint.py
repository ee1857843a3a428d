"""A weight file on disk, together with the name of its architecture."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.architectures import Architecture
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.loaded import FloatModel, assemble
from p2vit.models.options import LoadOptions
from p2vit.models.sources.hf_layout import FAMILIES, canonical_from_hf, family_of
from p2vit.models.sources.hf_original import file_original
from p2vit.models.sources.position import full_positions
from p2vit.models.sources.reader import unsupported_pieces
from p2vit.models.sources.settle import settle
from p2vit.models.sources.swin_layout import (
    HUGGING_FACE,
    canonical_from_swin,
    head_classes,
    swin_layout_of,
)
from p2vit.models.sources.timm_layout import canonical_from_timm, is_timm
from p2vit.models.sources.timm_original import timm_original
from p2vit.models.sources.timm_source import architecture_of
from p2vit.models.sources.weight_file import read_weights
from p2vit.models.swin_config import Rule, SwinConfig


def load_checkpoint(path: Path, options: LoadOptions) -> FloatModel:
    """Load a local ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file.

    The layout (timm's, Hugging Face's, or our own) is told from the names. The number of classes is the
    file's; everything else must be what the architecture says.

    Args:
        path: The file.
        options: ``arch`` is a name that `p2vit list` shows; the rest is what the user states beside it.

    Returns:
        The model, with the architecture's usual preprocessing.

    Raises:
        ModelError: the file or the architecture is missing, or they do not fit each other.
    """
    if path.is_dir():
        raise ModelError(f"{path}: a folder, where a weight file is needed")
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    arch = options.arch
    if arch is None:
        raise ModelError(
            f"{path}: a weight file does not say its architecture; "
            "add --arch, e.g. --arch deit_tiny_patch16_224"
        )
    found = architecture_of(arch)
    state = read_weights(path)
    return from_state(state, found, arch, options, str(path))


def from_state(
    state: dict[str, Tensor], found: Architecture, arch: str, options: LoadOptions, source: str
) -> FloatModel:
    """Bring the tensors of a file, free of wrappers and prefixes, to a model.

    Args:
        state: Names -> tensors.
        found: The architecture.
        arch: Its name as the user typed it, with a tag or without.
        options: What the user states.
        source: What was loaded.

    Returns:
        The model, with the preprocessing of the architecture or of the tag.

    Raises:
        ModelError: the layout is unknown, or the tensors do not fit.
    """
    config, notes = settle(found.config, state, options, source)
    config, canonical = canonical_from_any(state, config, source)
    original = None
    if is_timm(state) or swin_layout_of(state) not in (None, HUGGING_FACE):
        original = timm_original(state, config, arch)
    elif family := "swin" if swin_layout_of(state) is HUGGING_FACE else family_of(state):
        original = file_original(state, config, family)
    taken = f"timm's configuration of {arch}" if found.tag else f"the usual values of {config.name}"
    return assemble(
        config,
        canonical,
        found.preprocessing.for_size(config.image_size),
        source=source,
        preprocessing_from=taken,
        notes=notes,
        original=original,
    )


def canonical_from_any(
    state: dict[str, Tensor], config: ModelConfig, source: str
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Bring a state dict of any supported layout to canonical names.

    Args:
        state: Names -> tensors.
        config: The shape they should have; the number of classes is taken from ``state``.
        source: Named in errors.

    Returns:
        (shape with the file's number of classes, canonical names -> tensors).

    Raises:
        ModelError: the layout is unknown, or the tensors do not fit.
    """
    layout = swin_layout_of(state)
    canonical = "blocks.0.q.weight" in state
    if not canonical and (layout is not None) != isinstance(config, SwinConfig):
        found = "a Swin's" if layout is not None else "no Swin's"
        raise ModelError(f"{source} does not fit {config.name}: its tensors are {found}; name another --arch")
    if layout is not None and isinstance(config, SwinConfig):
        # Windows larger than a grid, and padding, are treated as the library does that the file is for.
        rule: Rule = "transformers" if layout is HUGGING_FACE else "timm"
        try:
            config = replace(config, num_classes=head_classes(state, layout), rule=rule)
        except ValueError as error:
            raise ModelError(str(error)) from None
        return config, canonical_from_swin(state, config, layout, source)
    if is_timm(state) and isinstance(config, ViTConfig):
        config = replace(config, num_classes=_classes(state, "head"))
        return config, canonical_from_timm(state, config, source)
    if isinstance(config, ViTConfig) and (family := family_of(state)):
        head = FAMILIES[family].head if config.pool != "token_dist" else "cls_classifier"
        config = replace(config, num_classes=_classes(state, head))
        return config, canonical_from_hf(state, config, family, source)
    if canonical:
        config = replace(config, num_classes=_classes(state, "head"))
        kept = {name: value for name, value in state.items() if name not in ("mean", "std")}
        if "position" in kept and len(kept["position"]) != config.tokens:
            positions = kept["position"]
            kept["position"] = full_positions(
                positions, config.prefix_tokens, config.grid, positions.shape[-1], antialias=True
            )
        return config, kept
    pieces = unsupported_pieces(state)
    known = f"; it has {' and '.join(pieces)}" if pieces else ""
    raise ModelError(
        f"{source}: not a ViT in a known layout "
        f"(timm, Hugging Face ViT, DeiT, DINOv2, CLIP and SigLIP vision, Swin){known}. "
        f"Its first tensors: {', '.join(sorted(state)[:3])}"
    )


def _classes(state: dict[str, Tensor], head: str) -> int:
    """Count the outputs of the head in the file; 0 when it has none."""
    weight = state.get(f"{head}.weight", torch.empty(0))
    return len(weight)
