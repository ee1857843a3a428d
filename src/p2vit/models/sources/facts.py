"""Read a model's sizes from the shapes of its tensors, and find the known architectures with these sizes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.sources.layouts import Layout, find_roots
from p2vit.models.sources.relative_position import TABLE, grid_side
from p2vit.models.swin_config import SwinConfig

#: No ViT has more blocks or channels. Larger values are refused before memory is allocated.
MOST_BLOCKS, MOST_CHANNELS = 1000, 1 << 16


@dataclass(frozen=True)
class Facts:
    """Sizes of a model, independent of the layout of its names.

    Attributes:
        embed_dim: Channels of the residual stream; in a Swin, of the first stage.
        patch_size: Side of a patch, pixels.
        depth: Number of blocks of all stages together.
        mlp_dim: Hidden channels of the first block's MLP.
        classes: Outputs of the head, 0 without a head.
        rows: Rows of the position table, 0 without a table.
        prefix: Number of tokens before the patch tokens: class token, distillation token, registers.
        depths: Blocks per stage of a Swin.
        heads: Attention heads per stage of a Swin.
        window: Side of a Swin's windows, tokens.
        swin: Whether the model is a Swin.
        pooled: Whether the model has SigLIP's pooling head.
        pre_norm: Whether the model has CLIP's LayerNorm after the embedding.
        gated: Whether the MLPs are gated.
        relative: Whether a plain ViT has relative position bias.
        table_grid: Patches per side of the square grid that the relative position tables are for, or 0.
    """

    embed_dim: int
    patch_size: int
    depth: int
    mlp_dim: int
    classes: int = 0
    rows: int = 0
    prefix: int = 0
    depths: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    window: int = 0
    swin: bool = False
    pooled: bool = False
    pre_norm: bool = False
    gated: bool = False
    relative: bool = False
    table_grid: int = 0

    @property
    def grid(self) -> int | None:
        """Patches per side of the square grid that the position tables are for, or None if they fit no square grid."""
        for tokens in dict.fromkeys((self.prefix, min(1, self.prefix), 0)):
            patches = self.rows - tokens
            if patches > 0 and math.isqrt(patches) ** 2 == patches:
                return math.isqrt(patches)
        return self.table_grid or None


def facts_of(state: Mapping[str, Tensor], layout: Layout, source: str) -> Facts:
    """Read the sizes of a model from its state dict.

    Args:
        state: Names in the layout -> tensors.
        layout: Layout of the names.
        source: Name of the source for error messages.

    Returns:
        The sizes.

    Raises:
        ModelError: A needed tensor is missing or has a wrong number of dimensions.
    """
    names = {_bare(name, layout): value for name, value in state.items()}
    patch = _tensor(names, layout.patch, 2 if layout.kind == "own" else 4, source)
    numbers = {tuple(map(int, found.groups())) for name in names if (found := re.match(layout.block, name))}
    first = next((name for name in layout.hidden if name in names), "")
    hidden = names.get(first)
    if hidden is None or hidden.ndim != 2:
        raise ModelError(f"{source}: not a complete model: {layout.hidden[0]} is missing or not a matrix")
    head = next((f"{name}.weight" for name in layout.head if f"{name}.weight" in names), None)
    patch_size = math.isqrt(patch.shape[1] // 3) if layout.kind == "own" else patch.shape[-1]
    swin = _swin_facts(names, numbers, layout, source) if layout.swin else {}
    tables = [] if layout.swin else [value for name, value in names.items() if name.endswith(TABLE)]
    facts = Facts(
        embed_dim=len(patch),
        patch_size=patch_size,
        depth=len(numbers),
        mlp_dim=_hidden(names, first),
        gated=_gated(names, first),
        classes=0 if head is None else len(_tensor(names, head, 2, source)),
        rows=_rows(names.get(layout.positions), len(patch)),
        prefix=_prefix(names, layout),
        pooled=any(
            mark in name for name in names for mark in ("attn_pool.", "head.probe", "attention_pool.")
        ),
        pre_norm=any(name.startswith(("norm_pre.", "pre_layrnorm.", "pre_norm.")) for name in names),
        swin=layout.swin,
        relative=bool(tables),
        table_grid=(grid_side(len(tables[0])) or 0) if tables and tables[0].ndim else 0,
        **swin,
    )
    if not 0 < facts.embed_dim <= MOST_CHANNELS or facts.depth > MOST_BLOCKS or not facts.patch_size:
        raise ModelError(
            f"{source}: no ViT has {facts.depth} blocks of {facts.embed_dim} channels with patches of "
            f"{facts.patch_size} pixels; the file is damaged"
        )
    return facts


def facts_of_config(config: ModelConfig) -> Facts:
    """Return the sizes that the tensors of an architecture have.

    Args:
        config: Shape of the architecture.
    """
    shared = (config.embed_dim, config.patch_size, config.depth, config.blocks[0].mlp_dim, config.num_classes)
    if isinstance(config, SwinConfig):
        windows = config.blocks[0].windows
        assert windows is not None
        side = config.window if isinstance(config.window, int) else config.window[0][0]
        return Facts(*shared, depths=config.depths, heads=config.heads, window=side, swin=True)
    return Facts(
        *shared,
        rows=config.tokens,
        prefix=config.prefix_tokens,
        pooled=config.pool == "attention",
        pre_norm=config.pre_norm,
        gated=config.gated_mlp,
        relative=config.relative_positions,
    )


#: Field of `Facts` → its name in messages. A file fits an architecture if these fields agree; the others may differ.
COMPARED = {
    "embed_dim": "channels",
    "patch_size": "patch size",
    "depth": "blocks",
    "mlp_dim": "channels in the MLP",
    "depths": "blocks per stage",
    "heads": "heads per stage",
    "window": "window",
    "prefix": "tokens before the patches",
    "pooled": "attention pooling",
    "pre_norm": "LayerNorm after the embedding",
    "gated": "gated MLP",
    "relative": "relative position bias",
}


def differences(facts: Facts, config: ModelConfig) -> list[str]:
    """List the differences between a file's sizes and those of an architecture.

    Args:
        facts: Sizes of the file.
        config: Shape of the architecture.

    Returns:
        Texts such as ``channels: 192, not 384``; empty if all sizes agree.
    """
    wanted = facts_of_config(config)
    if facts.swin != wanted.swin:
        return [f"its tensors are {'those' if facts.swin else 'not those'} of a Swin"]
    return [
        f"{COMPARED[field.name]}: {_say(getattr(facts, field.name))}, not {_say(getattr(wanted, field.name))}"
        for field in fields(Facts)
        if field.name in COMPARED and getattr(facts, field.name) != getattr(wanted, field.name)
    ]


def fitting(facts: Facts) -> list[str]:
    """List the known architectures that have the sizes of a file.

    Args:
        facts: Sizes of the file.

    Returns:
        Names. If some of them also have the file's number of patches, only those.
    """
    fit = [name for name, known in ARCHITECTURES.items() if not differences(facts, known.config)]
    # timm has a name of its own for biases, which the shape does not depend on.
    fit = [name for name in fit if not (name.endswith("_qkvb") and name.removesuffix("_qkvb") in fit)]
    exact = [
        name
        for name in fit
        if isinstance(config := ARCHITECTURES[name].config, ViTConfig) and facts.grid == config.grid[0]
    ]
    return exact or fit


def check_fit(facts: Facts, config: ModelConfig, source: str) -> None:
    """Refuse a file whose sizes differ from the architecture's, before any tensor is copied.

    Args:
        facts: Sizes of the file.
        config: Shape of the architecture.
        source: Name of the source for error messages.

    Raises:
        ModelError: The sizes differ. The message says which, and which architectures fit.
    """
    if not (found := differences(facts, config)):
        return
    known = fitting(facts)
    fit = (
        f"Architectures that fit: {some(known, 8)}. Choose one with --arch"
        if known
        else "No architecture of 'p2vit list' fits"
    )
    raise ModelError(f"{source} does not fit {config.name}: {'; '.join(found)}. {fit}")


def check_sizes(state: Mapping[str, Tensor], config: ModelConfig, said_by: str, source: str) -> None:
    """Refuse tensors whose sizes differ from a configuration, before memory for the configured sizes is allocated.

    Args:
        state: Names in a known layout -> tensors.
        config: Shape that the configuration file states.
        said_by: Name of the configuration file for error messages.
        source: Name of the source for error messages.

    Raises:
        ModelError: The sizes differ, or the tensors contain no model of a known layout.
    """
    roots = [root for root in find_roots(state) if not root.prefix]
    if not roots:
        raise ModelError(
            f"{source}: its weights contain no encoder in a known layout. Its first tensors: {some(sorted(state), 3)}"
        )
    facts, wanted = facts_of(state, roots[0].layout, source), facts_of_config(config)
    sizes = ("swin", "embed_dim", "patch_size", "depth", "mlp_dim", "depths", "heads", "window")
    found = [
        f"{COMPARED.get(name, name)}: {_say(getattr(facts, name))} in the weights, {_say(getattr(wanted, name))}"
        " in the configuration"
        for name in sizes
        if getattr(facts, name) != getattr(wanted, name)
    ]
    if found:
        raise ModelError(f"{said_by} does not fit the weights: {'; '.join(found)}")


def _say(value: object) -> str:
    """Write a size as text."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _bare(name: str, layout: Layout) -> str:
    """Remove the prefix that a model with a head puts before the encoder's names."""
    return next((name.removeprefix(word) for word in layout.inner if name.startswith(word)), name)


def _tensor(names: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> Tensor:
    """Return a tensor, which must exist, have that many dimensions and not be empty."""
    if name not in names:
        raise ModelError(f"{source}: not a complete model: {name} is missing")
    value = names[name]
    if value.ndim != dimensions or not value.numel():
        raise ModelError(
            f"{source}: {name} is {list(value.shape)}, but must have {dimensions} non-empty dimensions"
        )
    return value


def _hidden(names: Mapping[str, Tensor], first: str) -> int:
    """Hidden channels of an MLP; a gated one may have gate and linear branch in one tensor.

    Args:
        names: Names -> tensors.
        first: Name of the weight of its first linear.
    """
    rows = len(names[first])
    return rows // 2 if _is_packed(names, first) else rows


def _gated(names: Mapping[str, Tensor], first: str) -> bool:
    """Whether an MLP has a gate: a tensor of its own, or half of the first linear."""
    beside = first.replace("up_proj", "gate_proj").replace("fc1.", "up.")
    return "fc1_g" in first or (beside != first and beside in names) or _is_packed(names, first)


def _is_packed(names: Mapping[str, Tensor], first: str) -> bool:
    """Whether gate and linear branch are one tensor: it then has twice the rows that the last linear reads."""
    last = first.replace("weights_in", "weights_out").replace("fc1.", "fc2.")
    second = None if last == first else names.get(last)
    return second is not None and second.ndim == 2 and len(names[first]) == 2 * second.shape[1]


def _rows(positions: Tensor | None, channels: int) -> int:
    """Count the rows of the position table."""
    return 0 if positions is None or not channels else positions.numel() // channels


def _prefix(names: Mapping[str, Tensor], layout: Layout) -> int:
    """Count the tokens before the patch tokens."""
    if layout.kind == "own":
        return len(names["prefix"]) if "prefix" in names and names["prefix"].ndim else 0
    count = int(layout.class_token in names)
    for name in ("dist_token", "embeddings.distillation_token"):
        count += int(name in names)
    for name in ("reg_token", "register_tokens", "embeddings.register_tokens"):
        count += names[name].shape[-2] if name in names and names[name].ndim >= 2 else 0
    return count


def _swin_facts(
    names: Mapping[str, Tensor], numbers: set[tuple[int, ...]], layout: Layout, source: str
) -> dict[str, Any]:
    """Read the blocks and heads of each stage, and the window."""
    stages = sorted({number[0] for number in numbers})
    depths = tuple(sum(number[0] == stage for number in numbers) for stage in stages)
    first = layout.anchor.removesuffix(layout.table)
    heads, side = [], 0
    for stage in stages:
        name = re.sub(r"\d+", str(stage), first, count=1) + layout.table
        table = _tensor(names, name, 2, source)
        heads.append(table.shape[1])
        side = side or (math.isqrt(len(table)) + 1) // 2
    return {"depths": depths, "heads": tuple(heads), "window": side}
