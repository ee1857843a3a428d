"""Convert state dicts of Swin Transformers (timm, authors, transformers, torchvision) to canonical names."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from p2vit.models.sources.reader import StateReader, patch_linear
from p2vit.models.swin_config import SwinConfig
from p2vit.models.windows import BlockShape

#: Index tables in some files. They follow from the sizes, so they are not read.
DERIVED = ("*relative_position_index", "*attn_mask")


@dataclass(frozen=True)
class SwinLayout:
    """Tensor names of Swin Transformers in one library.

    Attributes:
        prefix: Prefix of all names except the head's.
        patch, patch_norm: Names of the patch embedding and its LayerNorm.
        stage: Prefix of stage ``{}``.
        block: Prefix of block ``{}``, below the stage.
        merge: Name of patch merging below a stage. Empty if merging has a number of its own between two stages.
        fused: Name of the fused query, key and value layer below a block; empty if ``q``, ``k`` and ``v`` are separate.
        q, k, v: Names of the separate layers below a block.
        table: Name of the relative position table below a block.
        norm1, norm2, proj, fc1, fc2: Names below a block.
        norm: Name of the last LayerNorm.
        merges_last: Whether merging belongs to the end of the previous stage, not to the start of the next one.
        head: Possible names of the head.
    """

    prefix: str = ""
    patch: str = "patch_embed.proj"
    patch_norm: str = "patch_embed.norm"
    stage: str = "layers.{}."
    block: str = "blocks.{}."
    merge: str = "downsample"
    fused: str = "attn.qkv"
    q: str = ""
    k: str = ""
    v: str = ""
    table: str = "attn.relative_position_bias_table"
    norm1: str = "norm1"
    norm2: str = "norm2"
    proj: str = "attn.proj"
    fc1: str = "mlp.fc1"
    fc2: str = "mlp.fc2"
    norm: str = "norm"
    merges_last: bool = False
    head: tuple[str, ...] = ("head.fc", "head")

    def stage_name(self, stage: int) -> str:
        """Return the prefix of a stage's blocks."""
        return self.stage.format(stage if self.merge else 2 * stage + 1)

    def merge_name(self, stage: int) -> str:
        """Return the prefix of the patch merging before a stage."""
        if not self.merge:
            return self.stage.format(2 * stage)
        return self.stage.format(stage - 1 if self.merges_last else stage) + f"{self.merge}."


TIMM = SwinLayout()
AUTHORS = SwinLayout(merges_last=True)
HUGGING_FACE = SwinLayout(
    prefix="swin.",
    patch="embeddings.patch_embeddings.projection",
    patch_norm="embeddings.norm",
    stage="encoder.layers.{}.",
    fused="",
    q="attention.self.query",
    k="attention.self.key",
    v="attention.self.value",
    table="attention.self.relative_position_bias_table",
    norm1="layernorm_before",
    norm2="layernorm_after",
    proj="attention.output.dense",
    fc1="intermediate.dense",
    fc2="output.dense",
    norm="layernorm",
    merges_last=True,
    head=("classifier",),
)
TORCHVISION = SwinLayout(
    patch="features.0.0",
    patch_norm="features.0.2",
    stage="features.{}.",
    block="{}.",
    merge="",
    fc1="mlp.0",
    fc2="mlp.3",
    head=("head",),
)


def swin_layout_of(state: Mapping[str, Tensor]) -> SwinLayout | None:
    """Tell the layout of a Swin's state dict by its names.

    Args:
        state: Any state dict.

    Returns:
        The layout, or None if the state dict is not that of a Swin.
    """
    if any(key.endswith("attention.self.relative_position_bias_table") for key in state):
        return HUGGING_FACE
    if "features.1.0.attn.relative_position_bias_table" in state:
        return TORCHVISION
    if "layers.0.blocks.0.attn.relative_position_bias_table" not in state:
        return None
    return AUTHORS if "layers.0.downsample.reduction.weight" in state else TIMM


def head_classes(state: Mapping[str, Tensor], layout: SwinLayout) -> int:
    """Count the outputs of the head in a state dict; 0 without a head."""
    return next((len(state[f"{name}.weight"]) for name in layout.head if f"{name}.weight" in state), 0)


def canonical_from_swin(
    state: Mapping[str, Tensor], config: SwinConfig, layout: SwinLayout, source: str
) -> dict[str, Tensor]:
    """Convert a state dict: rename, and split fused layers.

    Args:
        state: Names in the layout -> tensors.
        config: Expected shape.
        layout: SwinLayout of the names.
        source: Name of the source for error messages.

    Returns:
        Canonical names -> float32 tensors.

    Raises:
        ModelError: A tensor is missing, superfluous, of a wrong shape or not finite.
    """
    read = StateReader({key.removeprefix(layout.prefix): value for key, value in state.items()}, source)
    read.drop(*DERIVED, "embeddings.mask_token")
    C, p = config.embed_dim, config.patch_size
    out = {
        "patch_embed.weight": patch_linear(read.take(f"{layout.patch}.weight", (C, 3, p, p))),
        "patch_embed.bias": read.take_or(f"{layout.patch}.bias", (C,)),
    }
    read.copy(out, layout.patch_norm, "pre_norm", (C,))
    number = 0
    for stage, depth in enumerate(config.depths):
        for index in range(depth):
            shape, new = config.blocks[number], f"blocks.{number}"
            if shape.merge is not None:
                place, inputs = layout.merge_name(stage), 4 * shape.merge.dim
                read.copy(out, f"{place}norm", f"{new}.merge.norm", (inputs,))
                read.copy(out, f"{place}reduction", f"{new}.merge.reduction", (shape.dim, inputs))
            _block(read, out, layout.stage_name(stage) + layout.block.format(index), new, layout, shape)
            number += 1
    read.copy(out, layout.norm, "norm", (config.feature_dim,))
    heads = [name for name in layout.head if f"{name}.weight" in read]
    if config.num_classes:
        read.copy(out, (heads or layout.head)[0], "head", (config.num_classes, config.feature_dim))
    else:
        read.drop(*(f"{name}.*" for name in heads))
    read.finish(config.name)
    return out


def _block(
    read: StateReader, out: dict[str, Tensor], old: str, new: str, layout: SwinLayout, shape: BlockShape
) -> None:
    """Convert one encoder block."""
    C, hidden, windows = shape.dim, shape.mlp_dim, shape.windows
    assert windows is not None
    for name in ("norm1", "norm2"):
        read.copy(out, old + getattr(layout, name), f"{new}.{name}", (C,))
    if layout.fused:
        read.copy_fused(out, old + layout.fused, [f"{new}.{letter}" for letter in "qkv"], C)
    else:
        for letter in "qkv":
            read.copy(out, old + getattr(layout, letter), f"{new}.{letter}", (C, C))
    table: Tensor = read.take(old + layout.table, (windows.bias_rows, shape.heads))
    out[f"{new}.bias_table"] = table.to(torch.float32)
    for name, size in (("proj", (C, C)), ("fc1", (hidden, C)), ("fc2", (C, hidden))):
        read.copy(out, old + getattr(layout, name), f"{new}.{name}", size)
