"""Tiny models as weight files and folders, in the layout of each library. p2vit quantizes each of them."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from p2vit.models.config import ViTConfig
from p2vit.models.sources.hf_layout import FAMILIES
from support.layouts import image_of, timm_state
from support.tiny import model_of, swin_model

#: Value of `Case.write` for a safetensors file.
SAFE = "one safetensors file"
State = dict[str, Tensor]
TINY = ViTConfig("tiny", (32, 32), 8, embed_dim=64, depth=2, heads=1, mlp_dim=96, num_classes=3)


@dataclass
class Case:
    """The content of a model's files.

    Attributes:
        kind: Name of the layout, or of the change that was made to the files.
        state: Names -> tensors.
        write: Format of the weight file: `SAFE`, ``zip``, ``legacy``, or a key of `support.wrappers.WRAPPERS`.
        texts: Name -> content of JSON files beside the weights.
        arguments: Options of the command line.
        folder: Whether the command line names the folder, not the weight file.
    """

    kind: str
    state: State
    write: str = "zip"
    texts: dict[str, Any] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    folder: bool = False


def tensors_of(config: Any) -> State:
    """Return the canonical tensors of a tiny model."""
    made = swin_model(window=4, image_size=(32, 32)) if config == "swin" else model_of(config)
    return {name: value.detach().clone() for name, value in made.module.named_parameters()}


def torchvision_state() -> State:
    """Return a tiny ViT in torchvision's layout."""
    timm, out = timm_state(tensors_of(TINY), TINY), {}
    fixed = {
        "cls_token": "class_token",
        "pos_embed": "encoder.pos_embedding",
        "patch_embed.proj": "conv_proj",
    }
    for name, value in timm.items():
        if ".ls" in name:
            continue
        new = name.replace("blocks.", "encoder.layers.encoder_layer_").replace(
            "attn.qkv.", "self_attention.in_proj_"
        )
        new = (
            new.replace("attn.proj", "self_attention.out_proj")
            .replace("norm1", "ln_1")
            .replace("norm2", "ln_2")
        )
        new = new.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")
        for old, other in fixed.items():
            new = new.replace(old, other)
        out["encoder.ln." + new[5:] if new.startswith("norm.") else new] = value
    own = tensors_of(TINY)
    return out | {"heads.head.weight": own["head.weight"], "heads.head.bias": own["head.bias"]}


def torchvision_swin_state() -> State:
    """Return a tiny Swin in torchvision's layout."""
    state, out = tensors_of("swin"), {}
    names = {
        "fc1": "mlp.0",
        "fc2": "mlp.3",
        "proj": "attn.proj",
        "bias_table": "attn.relative_position_bias_table",
    }
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "patch_embed":
            out[f"features.0.0.{parts[-1]}"] = image_of(value, 4) if parts[-1] == "weight" else value
        elif parts[0] == "pre_norm":
            out[f"features.0.2.{parts[-1]}"] = value
        elif parts[0] != "blocks":
            out[name] = value
        elif parts[2] == "merge":
            if parts[3:] != ["reduction", "bias"]:
                out[f"features.2.{'.'.join(parts[3:])}"] = value
        elif parts[2] == "q":
            at = f"blocks.{parts[1]}."
            fused = torch.cat([state[f"{at}{letter}.{parts[-1]}"] for letter in "qkv"])
            out[f"features.{_place(parts[1])}.attn.qkv.{parts[-1]}"] = fused
        elif parts[2] not in "kv":
            rest = ".".join([names.get(parts[2], parts[2]), *parts[3:]])
            out[f"features.{_place(parts[1])}.{rest}"] = value
    return out


def _place(number: str) -> str:
    """Return torchvision's name of a block, for a Swin of two stages with two blocks each."""
    return f"{1 + 2 * (int(number) // 2)}.{int(number) % 2}"


def transformers_files(kind: str) -> tuple[State, dict[str, Any]]:
    """Return a tiny model in transformers' layout, and its JSON files."""
    own, family = tensors_of(TINY), FAMILIES[kind]
    p = family.prefix
    out = {
        f"{p}{family.patch}.weight": image_of(own["patch_embed.weight"], TINY.patch_size),
        f"{p}{family.patch}.bias": own["patch_embed.bias"],
        f"{p}{family.class_token}": own["prefix"][None],
        f"{p}{family.positions}": own["position"][None],
        "classifier.weight": own["head.weight"]
        if kind == "vit"
        else torch.cat([own["head.weight"]] * 2, dim=1),
        "classifier.bias": own["head.bias"],
    }
    for part in ("weight", "bias"):
        out[f"{p}{family.norm}.{part}"] = own[f"norm.{part}"]
        for index in range(TINY.depth):
            for name in ("norm1", "norm2", "q", "k", "v", "proj", "fc1", "fc2"):
                new = f"{p}{family.layer.format(index)}{getattr(family, name)}.{part}"
                out[new] = own[f"blocks.{index}.{name}.{part}"]
    for index in range(TINY.depth):
        for scale in filter(None, (family.scale1, family.scale2)):
            out[f"{p}{family.layer.format(index)}{scale}"] = torch.ones(TINY.embed_dim)
    meta = {
        "model_type": kind,
        "architectures": ["ViTForImageClassification" if kind == "vit" else "Dinov2ForImageClassification"],
        "hidden_size": TINY.embed_dim,
        "num_hidden_layers": TINY.depth,
        "num_attention_heads": TINY.heads,
        "intermediate_size": TINY.mlp_dim,
        "mlp_ratio": TINY.mlp_dim / TINY.embed_dim,
        "image_size": TINY.image_size[0],
        "patch_size": TINY.patch_size,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "id2label": {"0": "a", "1": "b", "2": "c"},
        "qkv_bias": True,
        "num_channels": 3,
    }
    processor = {
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor",
    }
    return out, {"config.json": meta, "preprocessor_config.json": processor}


def timm_hub_files() -> tuple[State, dict[str, Any]]:
    """Return a tiny ViT as timm saves it to the Hub, and its config.json."""
    own = tensors_of(TINY)
    state = timm_state(own, TINY) | {"head.weight": own["head.weight"], "head.bias": own["head.bias"]}
    meta = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "num_features": 64,
        "global_pool": "token",
        "model_args": {
            "img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 1, "mlp_ratio": 1.5
        },
        "label_names": ["a", "b", "c"],
        "pretrained_cfg": {
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "crop_pct": 0.9,
            "crop_mode": "center", "input_size": [3, 32, 32],
        },
    }  # fmt: skip
    return state, {"config.json": meta}


def originals() -> dict[str, Case]:
    """Return an undamaged model in each layout."""
    digits = {n: v.detach().clone() for n, v in model_of(_digits()).module.named_parameters()}
    hub, hub_texts = timm_hub_files()
    vit, vit_texts = transformers_files("vit")
    dino, dino_texts = transformers_files("dinov2")
    arch = ["--arch", "digits"]
    timm = timm_state(digits, _digits()) | {name: digits[name] for name in ("head.weight", "head.bias")}
    return {
        "own": Case("own", digits, SAFE, arguments=arch),
        "timm": Case("timm", timm, arguments=arch),
        "timm, legacy": Case("timm, legacy", timm, "legacy", arguments=arch),
        "torchvision": Case("torchvision", torchvision_state(), SAFE),
        "torchvision swin": Case(
            "torchvision swin", torchvision_swin_state(), arguments=["--image-size", "32"]
        ),
        "timm hub": Case("timm hub", hub, SAFE, hub_texts, folder=True),
        "vit": Case("vit", vit, SAFE, vit_texts, folder=True),
        "dinov2": Case("dinov2", dino, SAFE, dino_texts, folder=True),
    }


def _digits() -> ViTConfig:
    from p2vit.models.architectures import DIGITS

    assert isinstance(DIGITS.config, ViTConfig)
    return DIGITS.config
