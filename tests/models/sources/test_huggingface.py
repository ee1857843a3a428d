"""Layouts are checked against a reference written out here: the library itself is optional."""

import json

import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from p2vit.models.sources.hf_layout import FAMILIES
from p2vit.models.sources.huggingface import from_huggingface

C, HIDDEN, DEPTH, PATCH, SIDE = 8, 16, 2, 4, 8
META = {
    "hidden_size": C,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": HIDDEN,
    "image_size": SIDE,
    "patch_size": PATCH,
    "mlp_ratio": 2,
    "num_register_tokens": 3,
}


def hf_state(kind, classes=3):
    """Random tensors under a family's names, and the canonical tensors that they should become."""
    g = torch.Generator().manual_seed(0)
    family, canonical, state = FAMILIES[kind], {}, {}

    def both(old, new, *shape):
        state[old] = torch.randn(*shape, generator=g)
        canonical[new] = state[old]

    extra = {"deit": 1, "dinov2_with_registers": 3}.get(kind, 0)
    p = family.prefix
    both(p + family.patch + ".weight", "patch_embed.weight", C, 3, PATCH, PATCH)
    canonical["patch_embed.weight"] = canonical["patch_embed.weight"].permute(0, 2, 3, 1).reshape(C, -1)
    canonical["patch_embed.bias"] = torch.zeros(C)
    if kind != "clip":
        both(p + family.patch + ".bias", "patch_embed.bias", C)
    both(p + family.class_token, "prefix", *((C,) if kind == "clip" else (1, 1, C)))
    canonical["prefix"] = canonical["prefix"].reshape(1, C)
    rows = 5 + (1 if kind == "deit" else 0)
    both(p + family.positions, "position", *((rows, C) if kind == "clip" else (1, rows, C)))
    canonical["position"] = canonical["position"].reshape(rows, C)
    if extra:
        name = "distillation_token" if kind == "deit" else "register_tokens"
        state[f"{p}embeddings.{name}"] = torch.randn(1, extra, C, generator=g)
        canonical["prefix"] = torch.cat([canonical["prefix"], state[f"{p}embeddings.{name}"][0]])
    if kind == "dinov2_with_registers":
        position = canonical["position"]
        canonical["position"] = torch.cat([position[:1], torch.zeros(3, C), position[1:]])
    for i in range(DEPTH):
        old, new = p + family.layer.format(i), f"blocks.{i}."
        for piece, shape in {
            "norm1": (C,), "norm2": (C,), "q": (C, C), "k": (C, C), "v": (C, C), "proj": (C, C),
            "fc1": (HIDDEN, C), "fc2": (C, HIDDEN),
        }.items():  # fmt: skip
            both(old + getattr(family, piece) + ".weight", new + piece + ".weight", *shape)
            both(old + getattr(family, piece) + ".bias", new + piece + ".bias", shape[0])
        for scale, linear in ((family.scale1, "proj"), (family.scale2, "fc2")):
            if scale:
                gamma = state[old + scale] = torch.randn(C, generator=g)
                canonical[new + linear + ".weight"] = canonical[new + linear + ".weight"] * gamma[:, None]
                canonical[new + linear + ".bias"] = canonical[new + linear + ".bias"] * gamma
    for old, new in ((family.norm, "norm"), *([(family.pre_norm, "pre_norm")] if family.pre_norm else [])):
        both(f"{p}{old}.weight", f"{new}.weight", C)
        both(f"{p}{old}.bias", f"{new}.bias", C)
    both(family.head + ".weight", "head.weight", classes, C)
    canonical["head.bias"] = torch.zeros(classes)
    if kind != "clip":
        both(family.head + ".bias", "head.bias", classes)
    return state, canonical


@pytest.mark.parametrize("kind", ["vit", "deit", "dinov2", "dinov2_with_registers", "clip"])
def test_layout(kind):
    state, canonical = hf_state(kind)
    meta = {"model_type": kind, **({"vision_config": META} if kind == "clip" else META)}
    model = from_huggingface(meta, state, {}, "hf:a/b")
    found = dict(model.module.named_parameters())
    assert set(found) == set(canonical)
    for name, value in canonical.items():
        torch.testing.assert_close(found[name], value, msg=name)
    assert model.config.activation == ("quick_gelu" if kind == "clip" else "gelu")


def test_a_bare_encoder_has_no_head():
    state, _ = hf_state("dinov2")
    bare = {k.removeprefix("dinov2."): v for k, v in state.items() if not k.startswith("classifier")}
    bare["embeddings.mask_token"] = torch.zeros(1, C)
    assert from_huggingface({"model_type": "dinov2", **META}, bare, {}, "hf:a/b").config.num_classes == 0


def test_processor_labels_and_size():
    state, _ = hf_state("vit")
    meta = {"model_type": "vit", **META, "id2label": {"0": "a", "1": "b", "2": "c"}}
    processor = {
        "image_processor_type": "BitImageProcessor",
        "do_center_crop": True,
        "size": {"shortest_edge": 16},
        "crop_size": {"height": 12, "width": 12},
        "resample": 2,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1, 1, 1],
    }
    model = from_huggingface(meta, state, processor, "hf:a/b")
    assert model.class_names == ("a", "b", "c")
    pre = model.preprocessing
    assert (pre.image_size, pre.resize, pre.scaled_size, pre.interpolation) == (
        (12, 12),
        "crop",
        (16, 16),
        "bilinear",
    )
    assert model.config.tokens == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "swinv2"}, "model type 'swinv2' is not supported. Supported types: .*siglip.*swin"),
        ({"model_type": "swin", "use_absolute_embeddings": True}, "absolute position embeddings in a Swin"),
        ({"model_type": "swin", "layer_norm_eps": 1e-6}, "layer_norm_eps 1e-06 is not supported in a Swin"),
        ({"model_type": "swin", "image_size": 64}, "fewer than a window of 7; transformers' own Swin cannot"),
        ({"hidden_act": "tanh"}, "activation 'tanh'"),
        ({"use_swiglu_ffn": True}, "SwiGLU"),
        ({"num_channels": 1}, "colour channels"),
        ({"image_size": 9}, "not a positive multiple"),
    ],
)
def test_unsupported_pieces_are_named(change, message):
    state, _ = hf_state("vit")
    with pytest.raises(ModelError, match=message):
        from_huggingface({"model_type": "vit", **META, **change}, state, {}, "hf:a/b")


def test_a_siglip_tower_needs_its_pooling_head():
    with pytest.raises(
        ModelError, match=r"hf:a/b: a SigLIP tower without its pooling head \(vision_use_head\)"
    ):
        from_huggingface({"model_type": "siglip_vision_model", **META}, {}, {}, "hf:a/b")


def test_a_head_on_two_features_is_refused():
    state, _ = hf_state("dinov2")
    state["classifier.weight"] = torch.zeros(3, 3 * C)
    with pytest.raises(ModelError, match="reads 24 features"):
        from_huggingface({"model_type": "dinov2", **META}, state, {}, "hf:a/b")


def test_a_local_folder(tmp_path):
    state, _ = hf_state("vit")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", **META}))
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_model(f"hf:{tmp_path}")
    save_file(state, tmp_path / "model.safetensors")
    assert load_model(f"hf:{tmp_path}").config.num_classes == 3
