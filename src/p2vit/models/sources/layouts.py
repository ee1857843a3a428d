"""The layouts that weight files come in: by which names they are told apart, and what belongs to the model."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Kind = Literal["own", "timm", "vit", "clip", "torchvision", "timm_swin", "hf_swin", "torchvision_swin", "dinov3"]


@dataclass(frozen=True)
class Layout:
    """How one library names a model's tensors.

    Attributes:
        kind: Which one.
        title: For people.
        anchor: A tensor of block 0, which no other layout has.
        patch: The patch embedding's weight.
        block: Pattern of a block's names; its groups are numbers.
        hidden: Names that the first linear of block 0's MLP may have.
        positions: The position embeddings, or empty.
        class_token: The class token, or empty.
        table: The table of relative positions below a block of a Swin, and in it the number of heads.
        head: Names that the linear on the pooled feature may have.
        inner: Names that a library puts before the encoder but not before the head, where it has a head.
        heads: First words of names beside ``inner`` that belong to the model.
    """

    kind: Kind
    title: str
    anchor: str
    patch: str
    block: str
    hidden: tuple[str, ...]
    positions: str = ""
    class_token: str = ""
    table: str = ""
    head: tuple[str, ...] = ("head",)
    inner: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()

    @property
    def swin(self) -> bool:
        """Whether it is of a Swin."""
        return self.kind.endswith("swin")


_HF_HEADS = ("classifier", "cls_classifier", "distillation_classifier", "pooler")
_HF_INNER = ("vit.", "deit.", "dinov2.", "dinov2_with_registers.")
_HF_PATCH = "embeddings.patch_embeddings.projection.weight"
_HF_BLOCK, _TV_BLOCK = "encoder.layer.0.", "encoder.layers.encoder_layer_0."
_HF_SWIN = "encoder.layers.0.blocks.0."
_TABLE = "attn.relative_position_bias_table"
LAYOUTS = (
    Layout(
        "own", "p2vit's own", "blocks.0.q.weight", "patch_embed.weight", r"blocks\.(\d+)\.",
        ("blocks.0.fc1.weight",), positions="position",
    ),
    Layout(
        "timm", "timm's ViT", "blocks.0.attn.qkv.weight", "patch_embed.proj.weight", r"blocks\.(\d+)\.",
        ("blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc1_g.weight"), positions="pos_embed", class_token="cls_token",
    ),
    Layout(
        "timm", "timm's EVA", "blocks.0.attn.q_proj.weight", "patch_embed.proj.weight", r"blocks\.(\d+)\.",
        ("blocks.0.mlp.fc1_g.weight", "blocks.0.mlp.fc1.weight"), positions="pos_embed", class_token="cls_token",
    ),
    Layout(
        "dinov3", "transformers' DINOv3", "layer.0.attention.q_proj.weight", "embeddings.patch_embeddings.weight",
        r"layer\.(\d+)\.", ("layer.0.mlp.up_proj.weight",), class_token="embeddings.cls_token",
    ),
    Layout(
        "vit", "transformers' ViT, DeiT or DINOv2", f"{_HF_BLOCK}attention.attention.query.weight", _HF_PATCH,
        r"encoder\.layer\.(\d+)\.", (f"{_HF_BLOCK}intermediate.dense.weight", f"{_HF_BLOCK}mlp.fc1.weight", f"{_HF_BLOCK}mlp.weights_in.weight"),
        positions="embeddings.position_embeddings", class_token="embeddings.cls_token",
        head=("classifier", "cls_classifier"), inner=_HF_INNER, heads=_HF_HEADS,
    ),
    Layout(
        "clip", "transformers' CLIP or SigLIP", "encoder.layers.0.self_attn.q_proj.weight",
        "embeddings.patch_embedding.weight", r"encoder\.layers\.(\d+)\.", ("encoder.layers.0.mlp.fc1.weight",),
        positions="embeddings.position_embedding.weight", class_token="embeddings.class_embedding",
        head=("visual_projection", "classifier"), inner=("vision_model.",),
        heads=("visual_projection", "classifier"),
    ),
    Layout(
        "torchvision", "torchvision's ViT", f"{_TV_BLOCK}self_attention.in_proj_weight", "conv_proj.weight",
        r"encoder\.layers\.encoder_layer_(\d+)\.", (f"{_TV_BLOCK}mlp.0.weight", f"{_TV_BLOCK}mlp.linear_1.weight"),
        positions="encoder.pos_embedding", class_token="class_token", head=("heads.head",),
    ),
    Layout(
        "timm_swin", "a Swin of timm or of its authors", f"layers.0.blocks.0.{_TABLE}", "patch_embed.proj.weight",
        r"layers\.(\d+)\.blocks\.(\d+)\.", ("layers.0.blocks.0.mlp.fc1.weight",), table=_TABLE,
        head=("head.fc", "head"),
    ),
    Layout(
        "hf_swin", "transformers' Swin", f"{_HF_SWIN}attention.self.relative_position_bias_table", _HF_PATCH,
        r"encoder\.layers\.(\d+)\.blocks\.(\d+)\.", (f"{_HF_SWIN}intermediate.dense.weight",),
        table="attention.self.relative_position_bias_table", head=("classifier",), inner=("swin.",),
        heads=_HF_HEADS,
    ),
    Layout(
        "torchvision_swin", "torchvision's Swin", f"features.1.0.{_TABLE}", "features.0.0.weight",
        r"features\.([1357])\.(\d+)\.", ("features.1.0.mlp.0.weight",), table=_TABLE,
    ),
)  # fmt: skip

#: Beside an encoder without a prefix: first words of what training adds and inference does not read.
FOREIGN = re.compile(
    r"(mae_)?decoder|project(or|ion_head)|proj_head|predictor|(\w+_)?(loss|criterion)\b|teacher|student|momentum_"
    r"|queue|prototypes|(dino|ibot)_|text_|optimizer|ema\b|target_|online_|aux_"
)


@dataclass(frozen=True)
class Root:
    """Where in a file a model stands.

    Attributes:
        prefix: Before every name of it, empty or with a dot at its end.
        inner: Before the encoder's names but not the head's, after ``prefix``.
        layout: Whose names they are.
    """

    prefix: str
    inner: str
    layout: Layout

    @property
    def key(self) -> str:
        """What a user types after ``--key``."""
        return self.prefix.removesuffix(".")

    def holds(self, name: str) -> bool:
        """Whether a tensor of the file belongs to this model."""
        if not name.startswith(self.prefix):
            return False
        rest = name[len(self.prefix) :]
        if self.inner:
            return rest.startswith(self.inner) or rest.split(".")[0] in self.layout.heads
        return not FOREIGN.match(rest)


def find_roots(names: Collection[str]) -> list[Root]:
    """All models of a known layout in a file.

    Args:
        names: Full names of its tensors.

    Returns:
        Places, in the file's order. Those without a patch embedding count only where there is none with one.
    """
    every = set(names)
    whole: list[Root] = []
    partial: list[Root] = []
    for name in names:
        for layout in LAYOUTS:
            if not name.endswith(layout.anchor):
                continue
            prefix = name[: -len(layout.anchor)]
            if prefix and not prefix.endswith("."):
                continue
            inner = next((word for word in layout.inner if f".{prefix}".endswith(f".{word}")), "")
            root = Root(prefix.removesuffix(inner), inner, layout)
            (whole if prefix + layout.patch in every else partial).append(root)
    return whole or partial
