"""Swin's state dicts: names told apart, moved, and refused where they do not fit."""

import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.architectures import ARCHITECTURES, Architecture
from p2vit.models.registry import load_model
from p2vit.models.sources.swin_layout import AUTHORS, HUGGING_FACE, TIMM, swin_layout_of
from p2vit.models.sources.timm_source import from_timm_model
from p2vit.program.preprocessing import Preprocessing
from support.tiny import smooth_photos, swin_config

CONFIG = swin_config(name="swin_tiny_for_tests", image_size=(32, 32), window=4)


@pytest.fixture
def arch(monkeypatch):
    preprocessing = Preprocessing(image_size=CONFIG.image_size)
    monkeypatch.setitem(ARCHITECTURES, CONFIG.name, Architecture(CONFIG, preprocessing))
    return CONFIG.name


@pytest.fixture
def model(timm):
    torch.manual_seed(0)
    shape = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4, "num_classes": 5}
    return timm.create_model("swin_tiny_patch4_window7_224", img_size=32, **shape).eval()


def authors_names(state):
    """What the authors' own release calls timm's tensors: merging belongs to the stage before, the head is bare."""
    renamed = {name.replace("layers.1.downsample", "layers.0.downsample"): v for name, v in state.items()}
    renamed = {name.replace("head.fc.", "head."): value for name, value in renamed.items()}
    return renamed | {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16)}


def test_layouts_are_told_apart(model):
    state = model.state_dict()
    assert swin_layout_of(state) is TIMM
    assert swin_layout_of(authors_names(state)) is AUTHORS
    assert (
        swin_layout_of({"encoder.layers.0.blocks.0.attention.self.relative_position_bias_table": 0})
        is HUGGING_FACE
    )
    assert swin_layout_of({"blocks.0.attn.qkv.weight": 0}) is None


@pytest.mark.parametrize("rename", [dict, authors_names], ids=["timm", "the authors"])
def test_a_file_gives_the_model(rename, model, arch, tmp_path):
    path = tmp_path / "swin.safetensors"
    save_file({name: value.contiguous() for name, value in rename(model.state_dict()).items()}, path)
    loaded, wanted = load_model(path, arch=arch), from_timm_model(model, "swin")
    pixels = torch.from_numpy(smooth_photos((32, 32), 2))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.module(pixels), wanted.module(pixels))


def test_a_transformers_file_gives_the_model(transformers, arch, tmp_path):
    torch.manual_seed(0)
    shape = transformers.SwinConfig(
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        image_size=32,
        patch_size=4,
        num_labels=5,
    )
    source = transformers.SwinForImageClassification(shape).eval()
    source.save_pretrained(tmp_path)
    loaded = load_model(tmp_path / "model.safetensors", arch=arch)
    assert loaded.config.rule == "transformers"
    pixels = torch.from_numpy(smooth_photos((32, 32), 2))
    mean, std = torch.tensor(loaded.preprocessing.mean), torch.tensor(loaded.preprocessing.std)
    with torch.inference_mode():
        want = source(((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).logits
        torch.testing.assert_close(loaded.module(pixels), want, rtol=1e-4, atol=1e-5)


def test_files_that_do_not_fit_name_what_is_wrong(model, arch, tmp_path):
    def refused(state, match, name=arch):
        path = tmp_path / "w.safetensors"
        save_file({key: value.contiguous() for key, value in state.items()}, path)
        with pytest.raises(ModelError, match=match):
            load_model(path, arch=name)

    state = model.state_dict()
    refused(state, "does not fit digits: its tensors are those of a Swin", "digits")
    plain = {
        "blocks.0.attn.qkv.weight": torch.zeros(9, 3),
        "blocks.0.mlp.fc1.weight": torch.zeros(4, 3),
        "patch_embed.proj.weight": torch.zeros(3, 3, 4, 4),
    }
    refused(plain, "does not fit swin_tiny_for_tests: its tensors are not those of a Swin")
    lost = {key: value for key, value in state.items() if "downsample.norm.bias" not in key}
    lost.pop("layers.1.downsample.reduction.weight")
    refused(lost, r"missing: layers\.1\.downsample\.reduction\.weight")
    wide = state | {"layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(169, 2)}
    refused(wide, r"does not fit swin_tiny_for_tests: window: 7, not 4")
    refused(state | {"layers.0.blocks.0.attn.logit_scale": torch.ones(2)}, r"Swin V2")
