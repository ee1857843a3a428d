"""One canonical DINOv2 written out in timm's and in transformers' layout, and loaded by the libraries' own classes."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from p2vit.models.config import ViTConfig
from p2vit.models.loaded import FloatModel
from p2vit.models.sources.hf_layout import FAMILIES
from p2vit.models.sources.huggingface import load_huggingface
from p2vit.models.sources.timm_source import from_timm_model
from p2vit.program.preprocessing import IMAGENET_MEAN, IMAGENET_STD


def image_of(patches: Tensor, patch: int) -> Tensor:
    """The patch embedding as a convolution: [C, p·p·3] to [C, 3, p, p]."""
    return patches.reshape(len(patches), patch, patch, 3).permute(0, 3, 1, 2).contiguous()


def timm_state(state: dict[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """Canonical tensors by timm's names; LayerScale, which is folded, is one."""
    P = config.prefix_tokens
    out = {
        "patch_embed.proj.weight": image_of(state["patch_embed.weight"], config.patch_size),
        "patch_embed.proj.bias": state["patch_embed.bias"],
        "cls_token": state["prefix"][None, :1],
        "norm.weight": state["norm.weight"],
        "norm.bias": state["norm.bias"],
    }
    # timm's DINOv2 with registers has positions for patches alone.
    positions = state["position"]
    if config.register_tokens:
        out["reg_token"] = state["prefix"][None, 1:] + positions[None, 1:P]
        out["cls_token"] = out["cls_token"] + positions[None, :1]
        positions = positions[P:]
    out["pos_embed"] = positions[None]
    for index in range(config.depth):
        at = f"blocks.{index}."
        for kind in ("weight", "bias"):
            out[f"{at}attn.qkv.{kind}"] = torch.cat([state[f"{at}{letter}.{kind}"] for letter in "qkv"])
            for old, new in {
                "norm1": "norm1", "norm2": "norm2", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2",
            }.items():  # fmt: skip
                out[f"{at}{new}.{kind}"] = state[f"{at}{old}.{kind}"]
        for number in (1, 2):
            out[f"{at}ls{number}.gamma"] = torch.ones(config.embed_dim)
    return out


def transformers_state(state: dict[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """Canonical tensors by transformers' names; LayerScale, which is folded, is one."""
    family, P = (
        FAMILIES["dinov2_with_registers" if config.register_tokens else "dinov2"],
        config.prefix_tokens,
    )
    positions = torch.cat([state["position"][:1], state["position"][P:]])
    out = {
        f"{family.patch}.weight": image_of(state["patch_embed.weight"], config.patch_size),
        f"{family.patch}.bias": state["patch_embed.bias"],
        family.class_token: state["prefix"][None, :1],
        family.positions: positions[None],
        "embeddings.mask_token": torch.zeros(1, config.embed_dim),
        f"{family.norm}.weight": state["norm.weight"],
        f"{family.norm}.bias": state["norm.bias"],
    }
    if config.register_tokens:
        out["embeddings.register_tokens"] = state["prefix"][None, 1:] + state["position"][None, 1:P]
    for index in range(config.depth):
        old, new = f"blocks.{index}.", family.layer.format(index)
        for kind in ("weight", "bias"):
            for name in ("norm1", "norm2", "q", "k", "v", "proj", "fc1", "fc2"):
                out[f"{new}{getattr(family, name)}.{kind}"] = state[f"{old}{name}.{kind}"]
        for name in (family.scale1, family.scale2):
            out[new + name] = torch.ones(config.embed_dim)
    return out


def through_timm(timm: Any, model: FloatModel, name: str) -> FloatModel:
    """The model as timm's own class holds it."""
    config = model.config
    assert isinstance(config, ViTConfig)
    shape = {"embed_dim": config.embed_dim, "depth": config.depth, "num_heads": config.heads}
    vit = timm.create_model(
        name, pretrained=False, img_size=config.image_size, patch_size=config.patch_size,
        mlp_ratio=config.mlp_dim / config.embed_dim, **shape,
    )  # fmt: skip
    vit.load_state_dict(timm_state(dict(model.module.state_dict()), config))
    return from_timm_model(vit.eval(), name)


def through_transformers(transformers: Any, model: FloatModel, folder: Path) -> FloatModel:
    """The model as transformers' own class holds it, saves it, and as it is read from that folder."""
    config = model.config
    assert isinstance(config, ViTConfig)
    kind = "Dinov2WithRegisters" if config.register_tokens else "Dinov2"
    shape = {
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "mlp_ratio": config.mlp_dim / config.embed_dim,
        "image_size": config.image_size[0],
        "patch_size": config.patch_size,
    }
    if config.register_tokens:
        shape["num_register_tokens"] = config.register_tokens
    vit = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**shape))
    vit.load_state_dict(transformers_state(dict(model.module.state_dict()), config))
    vit.save_pretrained(folder)
    side = config.image_size[0]
    processor = {
        "do_center_crop": True, "size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side},
        "resample": 3, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return load_huggingface(str(folder))
