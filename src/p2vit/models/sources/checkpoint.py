"""Load a weight file of any known layout, with or without the name of its architecture."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.architectures import ARCHITECTURES, Architecture, find, with_image_size
from p2vit.models.canonical import CanonicalViT
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.loaded import FloatModel, Original, assemble
from p2vit.models.options import LoadOptions
from p2vit.models.source_names import RESIZED
from p2vit.models.sources import torchvision_layout as torchvision
from p2vit.models.sources.facts import Facts, check_fit, facts_of, fitting
from p2vit.models.sources.hf_layout import FAMILIES, canonical_from_hf, family_of
from p2vit.models.sources.hf_original import file_original
from p2vit.models.sources.layouts import Layout
from p2vit.models.sources.locate import Located, locate
from p2vit.models.sources.pool_choice import choose_pool
from p2vit.models.sources.position import check_rows, full_positions
from p2vit.models.sources.reader import StateReader
from p2vit.models.sources.shards import read_content
from p2vit.models.sources.swin_layout import canonical_from_swin, head_classes, swin_layout_of
from p2vit.models.sources.timm_layout import canonical_from_timm
from p2vit.models.sources.timm_original import timm_original
from p2vit.models.sources.timm_source import architecture_of
from p2vit.models.sources.torchvision_original import torchvision_original
from p2vit.models.sources.weight_file import Content, stated_architecture
from p2vit.models.swin_config import SwinConfig, WindowRule
from p2vit.program.preprocessing import Preprocessing

#: Layout of a Swin's file → library whose rule for windows and padding applies; timm's for all others.
RULES: dict[str, WindowRule] = {"hf_swin": "transformers", "torchvision_swin": "torchvision"}

#: SigLIPs that have the tanh form of GELU in timm too.
TIMM_TANH = ("vit_base_patch32_siglip", "vit_large_patch16_siglip_512", "vit_so400m_patch16_siglip")


def load_checkpoint(
    path: Path, options: LoadOptions | None = None, *, content: Content | None = None
) -> FloatModel:
    """Load a local weight file. Its format is found from its content, not from its suffix.

    The layout (timm's, transformers', torchvision's, or p2vit's own) is found from the tensor names, below any prefix.
    The number of classes and the image size come from the file; all other sizes must be those of the architecture.
    Without ``options.arch``, the architecture is the one that the file names, or the only known one that fits.

    Args:
        path: The file.
        options: Options of loading.
        content: Content of the file, if it was already read.

    Returns:
        The model, with the architecture's default preprocessing.

    Raises:
        ModelError: The file is missing or contains no model, no architecture fits it, or several fit.
    """
    options = options or LoadOptions()
    if path.is_dir():
        raise ModelError(f"{path}: a folder, but a weight file is needed; name the file in it")
    source = str(path)
    content = content or read_content(path)
    found = locate(content, options.key, source)
    facts = facts_of(found.state, found.layout, source)
    arch = options.arch or stated_architecture(content.value)
    if found.layout.kind.startswith("torchvision"):
        known, notes = _torchvision(facts, found.layout, options, source)
    else:
        known, notes = _architecture(facts, found, arch, source)
        if options.arch is None and arch == known.name:
            notes = [f"{source}: architecture {arch}, as the file states"]
    name = arch or known.name
    if found.layout.kind == "timm":
        known = replace(known, config=as_timm_makes(known.config))
    config, assumed = choose_pool(known.config, found.state, options, source)
    preprocessing = known.preprocessing
    own = own_size(facts, config, arch or "")
    if own is not None and options.image_size is None:
        notes.append(
            f"{source}: its position embeddings are for {own[0]} × {own[1]} pixels, not {config.image_size[0]} × "
            f"{config.image_size[1]}; took the file's size. --image-size {config.image_size[0]} resamples them"
        )
    if size := options.image_size or own:
        config = with_image_size(config, size)
        preprocessing = preprocessing.for_size(config.image_size)
    config, state = canonical(found.state, found.layout, config, source)
    unsure = _assumed_preprocessing(found, known, preprocessing, options, source)
    return assemble(
        config,
        state,
        preprocessing,
        source=str(path.resolve()),
        preprocessing_from=_taken(found.layout, known, name),
        notes=(*found.notes, *notes, *assumed, *unsure),
        original=original_of(found.state, found.layout, config, name),
    )


def as_timm_makes(config: ModelConfig) -> ModelConfig:
    """Return a shape with the activation of timm's own model of that name.

    The same SigLIP weights have the tanh form of GELU in transformers and the exact one in timm, so the file's library
    decides.

    Args:
        config: Shape of an architecture.
    """
    if isinstance(config, ViTConfig) and "_siglip_" in config.name and not config.name.startswith(TIMM_TANH):
        return replace(config, activation="gelu")
    return config


def original_of(
    state: Mapping[str, Tensor], layout: Layout, config: ModelConfig, arch: str
) -> Original | None:
    """Make the recipe for the original library's model of a state dict.

    Args:
        state: Names in the layout -> tensors.
        layout: Layout of the names.
        config: Shape of the network.
        arch: timm's name of the architecture, with or without a tag.

    Returns:
        The recipe, or None if no library has such a model.
    """
    if layout.kind.startswith("torchvision"):
        return torchvision_original(state, config)
    if layout.kind == "hf_swin":
        return file_original(state, config, "swin")
    if layout.swin or layout.kind == "timm":
        return timm_original(state, config, arch)
    family = family_of(state)
    return None if layout.kind == "own" or family is None else file_original(state, config, family)


def _assumed_preprocessing(
    found: Located, known: Architecture, preprocessing: Preprocessing, options: LoadOptions, source: str
) -> tuple[str, ...]:
    """Say what is assumed of a file of transformers, whose image processors differ from timm's pipelines."""
    layout = found.layout
    of_transformers = layout.kind == "hf_swin" or (
        not layout.swin and layout.kind not in ("own", "timm", "torchvision") and family_of(found.state)
    )
    if not of_transformers or known.tag or options.preparation:
        return ()
    return (
        f"{source}: a weight file of transformers does not state its preprocessing; assumed timm's for {known.name}: "
        f"{preprocessing.in_words}. With preprocessor_config.json and config.json beside the file, give the folder; "
        "or state --crop-mode, --crop-pct, --interpolation, --mean and --std",
    )


def _taken(layout: Layout, known: Architecture, name: str) -> str:
    """Say where the preprocessing of a file is taken from."""
    if layout.kind.startswith("torchvision"):
        return "torchvision's usual values"
    return f"timm's configuration of {name}" if known.tag else f"the usual values of {known.name}"


def canonical_from_any(
    state: dict[str, Tensor], config: ModelConfig, source: str
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Convert a state dict of any supported layout to canonical names.

    Args:
        state: Names -> tensors.
        config: Expected shape. Its number of classes is replaced by that of ``state``.
        source: Name of the source for error messages.

    Returns:
        (shape with the file's number of classes, canonical names -> tensors).

    Raises:
        ModelError: The layout is unknown, or the tensors do not fit.
    """
    found = locate(Content(state), None, source)
    return canonical(found.state, found.layout, config, source)


def canonical(
    state: dict[str, Tensor], layout: Layout, config: ModelConfig, source: str
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Convert a state dict of a known layout to canonical names.

    Args:
        state: Names -> tensors.
        layout: Layout of the names.
        config: Expected shape. Its number of classes is replaced by that of ``state``.
        source: Name of the source for error messages.

    Returns:
        (shape with the file's number of classes, canonical names -> tensors).

    Raises:
        ModelError: The tensors do not fit.
    """
    facts = facts_of(state, layout, source)
    if layout.kind == "own":
        config = replace(config, num_classes=facts.classes)
        return config, _from_own(state, config, source)
    check_fit(facts, config, source)
    if isinstance(config, SwinConfig):
        names = swin_layout_of(state)
        assert names is not None
        try:
            # Libraries differ in padding and in windows larger than a grid, so the file's library decides.
            rule = RULES.get(layout.kind, "timm")
            config = replace(config, num_classes=head_classes(state, names), rule=rule)
        except ValueError as error:
            raise ModelError(str(error)) from None
        return config, canonical_from_swin(state, config, names, source)
    check_rows(facts.rows, facts.prefix, config.grid, source)
    if layout.kind == "torchvision":
        config = replace(config, num_classes=facts.classes)
        return config, torchvision.canonical_from_torchvision(state, config, source)
    if layout.kind == "timm":
        config = replace(config, num_classes=_classes(state, "head"))
        return config, canonical_from_timm(state, config, source)
    family = family_of(state)
    assert family is not None
    head = "cls_classifier" if config.pool == "token_dist" else FAMILIES[family].head
    config = replace(config, num_classes=_classes(state, head))
    return config, canonical_from_hf(state, config, family, source)


def _architecture(
    facts: Facts, found: Located, arch: str | None, source: str
) -> tuple[Architecture, list[str]]:
    """Return the named architecture, or the only one that fits, with notes on what was assumed."""
    if arch is not None:
        return with_distillation(architecture_of(arch), found.state, source)
    fit = fitting(facts) if found.layout.kind != "own" else list(ARCHITECTURES)
    if len(fit) == 1:
        return find(fit[0]), [
            f"{source}: took the architecture {fit[0]}, the only known one whose sizes fit; choose another with --arch"
        ]
    lead = f"{source}: the weight file does not name its architecture; add --arch"
    if found.layout.kind == "own":
        raise ModelError(f"{lead}, e.g. --arch deit_tiny_patch16_224")
    if not fit:
        raise ModelError(
            f"{lead}. No architecture of 'p2vit list' has its {facts.depth} blocks of {facts.embed_dim} channels with "
            f"patches of {facts.patch_size} pixels"
        )
    raise ModelError(
        f"{lead}, e.g. --arch {fit[0]}. Several architectures fit its sizes and differ in the preprocessing or in "
        f"settings that tensors do not show: {some(fit, 12)}"
    )


def with_distillation(
    known: Architecture, state: Mapping[str, Tensor], source: str
) -> tuple[Architecture, list[str]]:
    """Add a distillation token to an architecture if the file has one and the architecture has none.

    Args:
        known: The architecture.
        state: Names -> tensors, in timm's or transformers' layout.
        source: Name of the source for notes and error messages.

    Returns:
        (architecture, notes on what was changed).

    Raises:
        ModelError: The file has a distillation token but no head for it.
    """
    config = known.config
    names = ("dist_token", "deit.embeddings.distillation_token", "embeddings.distillation_token")
    token = next((name for name in names if name in state), None)
    if token is None or not isinstance(config, ViTConfig) or config.register_tokens:
        return known, []
    second = "head_dist.weight" in state or "distillation_classifier.weight" in state
    if second or token != "dist_token":
        heads = "; the output is the mean of both heads" if second else ""
        pool = "token_dist" if second else config.pool
        config = replace(config, register_tokens=1, pool=pool)
        note = (
            f"{source}: the file has a distillation token, but {known.name} has none; used the token{heads}"
        )
        return replace(known, config=config), [note]
    raise ModelError(
        f"{source}: the file has a distillation token (dist_token) but no head for it (head_dist); use the complete "
        "state dict of the distilled model"
    )


def _torchvision(
    facts: Facts, layout: Layout, options: LoadOptions, source: str
) -> tuple[Architecture, list[str]]:
    """Read the shape of a torchvision file from its tensors, and add torchvision's preprocessing."""
    heads = options.heads
    if options.arch is not None:
        check_fit(facts, wanted := find(options.arch).config, source)
        if isinstance(wanted, ViTConfig):
            heads = heads or wanted.heads
    config: ModelConfig
    if layout.swin:
        config, notes = torchvision.swin_config(facts, source)
    else:
        config, notes = torchvision.vit_config(facts, heads, source)
    notes.append(
        f"{source}: preprocessing as in torchvision (shorter side × 8/7, centre crop, mean of ImageNet)"
    )
    return Architecture(config, torchvision.preprocessing_of(config.image_size)), notes


def own_size(facts: Facts, config: ModelConfig, arch: str) -> tuple[int, int] | None:
    """Return the image size that a file's position embeddings are for, or None if it is the architecture's.

    Args:
        facts: Sizes of the file's tensors.
        config: Shape of the architecture.
        arch: Name of the architecture as the user or the file states it.

    Returns:
        Pixels, (height, width), or None.
    """
    if not isinstance(config, ViTConfig) or RESIZED.fullmatch(arch):
        return None
    if facts.rows in (config.tokens, config.tokens - config.prefix_tokens) or facts.grid is None:
        return None
    side = facts.grid * config.patch_size
    return None if (side, side) == config.image_size else (side, side)


def _from_own(state: dict[str, Tensor], config: ModelConfig, source: str) -> dict[str, Tensor]:
    """Read a state dict that already has canonical names."""
    read, out = StateReader(state, source), {}
    read.drop("mean", "std")
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in CanonicalViT(config).named_parameters()}
    for name, shape in shapes.items():
        if name == "position":
            table = read.take_positions(name, config.embed_dim)
            out[name] = full_positions(
                table, config.prefix_tokens, config.grid, config.embed_dim, antialias=True
            )
        else:
            out[name] = read.take(name, shape)
    read.finish(config.name)
    return out


def _classes(state: Mapping[str, Tensor], head: str) -> int:
    """Count the outputs of the head in the file; 0 without a head."""
    weight = state.get(f"{head}.weight")
    return 0 if weight is None or not weight.ndim else len(weight)
