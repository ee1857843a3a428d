"""The model in a checkpoint is found by the names of its tensors, or the message says how to point at it."""

import argparse
import collections

import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from p2vit.models.sources.layouts import find_roots
from p2vit.models.sources.locate import locate
from p2vit.models.sources.weight_file import Content
from support.layouts import timm_state
from support.model_files import originals
from support.tiny import model_of
from support.wrappers import WRAPPERS, timm_saver, under


@pytest.fixture(scope="module")
def digits():
    """A model with the shape of digits, and its state dict by timm's names."""
    from p2vit.models.architectures import DIGITS

    model = model_of(DIGITS.config)
    own = {name: value.detach().clone() for name, value in model.module.named_parameters()}
    heads = {name: own[name] for name in ("head.weight", "head.bias")}
    return own, timm_state(own, DIGITS.config) | heads


def same(model, own):
    found = dict(model.module.named_parameters())
    return set(found) == set(own) and all(torch.equal(found[name], own[name]) for name in own)


@pytest.mark.parametrize("name", WRAPPERS)
def test_every_wrapper_gives_the_model(digits, tmp_path, name):
    own, state = digits
    assert same(load_model(WRAPPERS[name](state, tmp_path), arch="digits"), own)


@pytest.mark.parametrize("name", ["own", "torchvision", "torchvision swin"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.backbone.", "a.b.c.d."])
def test_every_layout_is_found_below_any_prefix(name, prefix, tmp_path):
    case = originals()[name]
    torch.save({"state_dict": under(prefix, case.state), "epoch": 1}, tmp_path / "a")
    options = {"arch": "digits"} if name == "own" else {"image_size": 32} if "swin" in name else {}
    assert load_model(tmp_path / "a", check=False, **options).config.depth in (2, 3, 4)


def test_what_is_left_out_is_named(digits, tmp_path):
    own, state = digits
    extra = {
        "projector.0.weight": torch.ones(2),
        "projector.1.weight": torch.ones(2),
        "fc.weight": torch.ones(7, 64),
    }
    torch.save(
        {"state_dict": under("backbone.", state) | extra, "optimizer": {"a": torch.ones(2)}}, tmp_path / "a"
    )
    model = load_model(tmp_path / "a", arch="digits")
    assert same(model, own)
    (note,) = [note for note in model.notes if "left out" in note]
    assert "projector (2 tensors), fc (1 tensor)" in note
    assert "If one of them is the model's head, rename it as timm's ViT does" in note
    assert "optimizer" not in note


def test_what_may_belong_to_the_model_is_never_left_out(digits, tmp_path):
    _, state = digits
    for name in (
        "extra.weight",
        "blocks.0.attn.rope",
        "neck.weight",
        "patch_embed.norm.weight",
        "temporal_embed",
    ):
        torch.save({"model": state | {name: torch.ones(2)}}, tmp_path / "a")
        with pytest.raises(ModelError, match=f"not part of digits: {name}"):
            load_model(tmp_path / "a", arch="digits")


def test_several_models_are_not_guessed(digits, tmp_path):
    own, state = digits
    others = {name: value + 1 for name, value in state.items()}
    torch.save({"student": under("backbone.", others), "teacher": under("backbone.", state)}, tmp_path / "a")
    with pytest.raises(
        ModelError, match=r"contains 2 models, below student\.backbone, teacher\.backbone; choose .*--key"
    ):
        load_model(tmp_path / "a", arch="digits")
    assert same(load_model(tmp_path / "a", arch="digits", key="teacher"), own)
    assert same(load_model(tmp_path / "a", arch="digits", key="teacher.backbone"), own)
    assert not same(load_model(tmp_path / "a", arch="digits", key="student"), own)
    with pytest.raises(
        ModelError, match=r"no tensors below --key 'techer'\. Did you mean 'teacher\.backbone'|Known keys"
    ):
        load_model(tmp_path / "a", arch="digits", key="techer")
    torch.save({"student": state, "head": {"weight": torch.ones(2)}}, tmp_path / "a")
    with pytest.raises(
        ModelError, match=r"no ViT in a known layout below --key 'head', which has the tensors head\.weight"
    ):
        load_model(tmp_path / "a", arch="digits", key="head")


def test_the_average_is_taken_and_the_other_can_be(digits, tmp_path):
    own, state = digits
    others = {name: value + 1 for name, value in state.items()}
    torch.save({"state_dict": others, "state_dict_ema": state}, tmp_path / "a")
    model = load_model(tmp_path / "a", arch="digits")
    assert same(model, own)
    assert "took the average, 'state_dict_ema' (--key state_dict selects the other)" in model.notes[0]
    assert not same(load_model(tmp_path / "a", arch="digits", key="state_dict"), own)


def test_a_model_without_a_prefix_beside_another(digits, tmp_path):
    _own, state = digits
    torch.save(state | under("second.", {name: value + 1 for name, value in state.items()}), tmp_path / "a")
    with pytest.raises(ModelError, match=r"contains 2 models, below '', second"):
        load_model(tmp_path / "a", arch="digits")


def test_of_clip_the_vision_tower_is_taken():
    vision = {
        "vision_model.encoder.layers.0.self_attn.q_proj.weight": torch.ones(1),
        "vision_model.embeddings.patch_embedding.weight": torch.ones(1),
        "visual_projection.weight": torch.ones(1),
    }
    text = {
        "text_model.encoder.layers.0.self_attn.q_proj.weight": torch.ones(1),
        "logit_scale": torch.ones(1),
    }
    for prefix in ("", "model.", "clip."):
        found = locate(Content(under(prefix, vision | text)), None, "clip.pth")
        assert set(found.state) == set(vision)
        assert "text_model (1 tensor), logit_scale (1 tensor)" in found.notes[0]


def test_a_head_beside_the_encoder_belongs_to_it():
    names = [
        "model.vit.encoder.layer.0.attention.attention.query.weight",
        "model.vit.embeddings.patch_embeddings.projection.weight",
        "model.classifier.weight",
        "model.decoder.weight",
    ]
    (root,) = find_roots(names)
    assert (root.prefix, root.inner) == ("model.", "vit.")
    assert [root.holds(name) for name in names] == [True, True, True, False]


def test_blocks_of_a_decoder_are_no_model():
    names = ["blocks.0.attn.qkv.weight", "patch_embed.proj.weight", "decoder.blocks.0.attn.qkv.weight"]
    assert [root.prefix for root in find_roots(names)] == [""]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"model": torch.nn.Linear(2, 2)},
            r"contains no tensors, but objects of torch\.nn\.modules\.linear\.Linear.*refused",
        ),
        ([1, 2], "contains no tensors, but a list; a state dict is needed"),
        ({"epoch": 3}, "contains no tensors, but a dict; a state dict is needed"),
        (
            {"conv1.weight": torch.zeros(1), "bn1.running_mean": torch.zeros(1)},
            "not a ViT in a known layout.*BatchNorm",
        ),
    ],
)
def test_files_without_a_model(tmp_path, content, said):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=said) as caught:
        load_model(tmp_path / "a.pth", arch="digits")
    assert "\x1b" not in str(caught.value)


def test_the_architecture_that_a_file_names_is_taken(digits, tmp_path):
    own, state = digits
    for content in (
        timm_saver(state, "digits"),
        {"model": state, "args": argparse.Namespace(model="digits")},
        {"state_dict": under("model.", state), "hyper_parameters": collections.OrderedDict(arch="digits")},
    ):
        torch.save(content, tmp_path / "a")
        model = load_model(tmp_path / "a")
        assert same(model, own)
        assert any("architecture digits, as the file states" in note for note in model.notes)


def test_names_of_two_layouts_at_one_place(digits, tmp_path):
    own, state = digits
    torch.save(state | own | originals()["torchvision"].state, tmp_path / "a")
    with pytest.raises(
        ModelError, match=r"tensor names mix several layouts: timm's ViT, p2vit's own, torchvision's"
    ):
        load_model(tmp_path / "a", arch="digits")
