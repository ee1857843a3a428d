"""Known layouts of weight files: the tensor names that identify a layout, and the tensors that belong to a model."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

LayoutKind = Literal[
    "own", "timm", "vit", "clip", "torchvision", "timm_swin", "hf_swin", "torchvision_swin", "dinov3"
]


@dataclass(frozen=True)
class Layout:
    """How one library names a model's tensors.

    Attributes:
        kind: Identifier of the layout.
        title: Name of the layout in messages.
        anchor: Name of a tensor of block 0 that no other layout has.
        patch: Name of the patch embedding's weight.
        block: Pattern of a block's names; its groups are the numbers of stage and block.
        hidden: Possible names of the weight of block 0's first MLP layer.
        positions: Name of the position table, or empty.
        class_token: Name of the class token, or empty.
        table: Name of a Swin block's relative position table, below the block; its columns are the heads.
        head: Possible names of the linear layer on the pooled feature.
        inner: Possible prefixes of the encoder's names in a model with a head. The head's names do not have it.
        heads: First parts of the names of heads beside ``inner`` that belong to the model.
    """

    kind: LayoutKind
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
        """Whether the layout is that of a Swin."""
        return self.kind.endswith("swin")


_HF_HEADS = ("classifier", "cls_classifier", "distillation_classifier", "pooler")
_HF_INNER = ("vit.", "deit.", "dinov2.", "dinov2_with_registers.", "beit.", "data2vec_vision.", "ijepa.")
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
        "vit", "transformers' ViT, DeiT, DINOv2 or BEiT", f"{_HF_BLOCK}attention.attention.query.weight", _HF_PATCH,
        r"encoder\.layer\.(\d+)\.",
        tuple(f"{_HF_BLOCK}{name}.weight" for name in ("intermediate.dense", "mlp.fc1", "mlp.weights_in")),
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

#: First parts of the names of tensors that only training uses, where the encoder's own names have no prefix.
FOREIGN = re.compile(
    r"(mae_)?decoder|project(or|ion_head)|proj_head|predictor|(\w+_)?(loss|criterion)\b|teacher|student|momentum_"
    r"|queue|prototypes|(dino|ibot)_|text_|optimizer|ema\b|target_|online_|aux_"
)


@dataclass(frozen=True)
class Root:
    """The place of a model in a file.

    Attributes:
        prefix: Prefix of all its names: empty, or with a dot at its end.
        inner: Further prefix of the encoder's names, but not of the head's; may be empty.
        layout: Layout of the names.
    """

    prefix: str
    inner: str
    layout: Layout

    @property
    def key(self) -> str:
        """Value of ``--key`` that selects this model."""
        return self.prefix.removesuffix(".")

    def holds(self, name: str) -> bool:
        """Return whether a tensor of the file belongs to this model."""
        if not name.startswith(self.prefix):
            return False
        rest = name[len(self.prefix) :]
        if self.inner:
            return rest.startswith(self.inner) or rest.split(".")[0] in self.layout.heads
        return not FOREIGN.match(rest)


def find_roots(names: Collection[str]) -> list[Root]:
    """Find all models of a known layout in a file.

    Args:
        names: Full names of the file's tensors.

    Returns:
        Places of the models, in the file's order. Models without a patch embedding are listed only if no model has one.
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
