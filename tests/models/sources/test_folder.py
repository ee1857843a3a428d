"""Folders as models: transformers', timm's own, one weight file; and the path is found from another directory."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from support.model_files import originals, timm_hub_files
from support.wrappers import WRAPPERS, plain, under


def filled(folder, name):
    case = originals()[name]
    for file, content in case.texts.items():
        (folder / file).write_text(json.dumps(content))
    save_file(plain(case.state), folder / "model.safetensors")
    return case


@pytest.mark.parametrize("name", ["vit", "dinov2", "timm hub"])
def test_a_folder_with_or_without_hf(tmp_path, name):
    filled(tmp_path, name)
    first, second = load_model(tmp_path, check=False), load_model(f"hf:{tmp_path}", check=False)
    assert first.sha256 == second.sha256
    assert first.source == f"hf:{tmp_path}"
    assert first.class_names == ("a", "b", "c")


@pytest.mark.parametrize("name", ["vit", "timm hub"])
@pytest.mark.parametrize("shards", ["sharded safetensors", "sharded .bin"])
def test_a_folder_with_shards(tmp_path, name, shards):
    case = filled(tmp_path, name)
    want = load_model(tmp_path, check=False).sha256
    (tmp_path / "model.safetensors").unlink()
    WRAPPERS[shards](case.state, tmp_path)
    assert load_model(tmp_path, check=False).sha256 == want


def test_prefixes_in_a_folder(tmp_path):
    case = filled(tmp_path, "vit")
    want = load_model(tmp_path, check=False).sha256
    extra = {"projector.weight": torch.ones(2)}
    save_file(plain(under("module.", case.state) | extra), tmp_path / "model.safetensors")
    model = load_model(tmp_path, check=False)
    assert model.sha256 == want
    assert any("projector (1 tensor)" in note for note in model.notes)


def test_a_folder_with_one_weight_file(tmp_path):
    torch.save({"model": originals()["timm"].state}, tmp_path / "last.ckpt")
    assert load_model(tmp_path, arch="digits", check=False).config.name == "digits"
    torch.save({}, tmp_path / "b.pth")
    with pytest.raises(ModelError, match=r"contains 2 weight files: b\.pth, last\.ckpt; name one of them"):
        load_model(tmp_path, arch="digits")


def test_folders_without_a_model(tmp_path):
    with pytest.raises(
        ModelError, match=r"contains no model; the folder needs config\.json and model\.safetensors, or one"
    ):
        load_model(tmp_path)
    (tmp_path / "program.json").write_text("{}")
    with pytest.raises(ModelError, match="a quantized program, but a float model is needed"):
        load_model(tmp_path)


def test_the_source_is_found_from_another_directory(tmp_path, monkeypatch):
    filled(tmp_path, "vit")
    (tmp_path / "else").mkdir()
    torch.save(originals()["timm"].state, tmp_path / "a.pth")
    monkeypatch.chdir(tmp_path)
    folder, file = load_model("hf:.", check=False), load_model("a.pth", arch="digits", check=False)
    monkeypatch.chdir(tmp_path / "else")
    assert load_model(folder.source, check=False).sha256 == folder.sha256
    assert load_model(file.source, arch="digits", check=False).sha256 == file.sha256


def test_a_program_is_evaluated_from_another_directory(tmp_path, monkeypatch, p2vit):
    torch.save(
        {"a": originals()["timm"].state, "b": originals()["timm"].state | {"norm.bias": torch.ones(64)}},
        tmp_path / "a.pth",
    )
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path)
    made = p2vit(
        "quantize",
        "a.pth",
        "--arch",
        "digits",
        "--key",
        "b",
        "--data",
        "noise",
        "-o",
        "out",
        "--calib-images",
        2,
    )
    assert made.code == 0, made.err
    monkeypatch.chdir(tmp_path / "else")
    assert p2vit("eval", "../out", "--data", "noise", "--json", "--limit", 4).code in (0, 2)
    answer = p2vit("report", "../out", "-o", "r.html")
    assert answer.code == 0, answer.err
    shutil.move(tmp_path / "out", tmp_path / "else" / "moved")
    from p2vit.program.format import load
    from p2vit.workflows.float_model import reload_float

    assert reload_float(load(tmp_path / "else" / "moved")).config.name == "digits"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": 3}, "architecture is 3, but must be a model name of timm"),
        ({"architecture": "vit_tinny_patch16_224"}, "Did you mean"),
        ({"model_args": [1]}, "model_args is list, but must be an object"),
        ({"model_args": {"qk_norm": True}}, "model_args qk_norm are not supported"),
        ({"model_args": {"num_heads": 0}}, "config.json: model_args"),
        ({"model_args": {"depth": 10**9}}, "depth is 1000000000, but must be an integer"),
        ({"model_args": {"mlp_ratio": "a"}}, "mlp_ratio is 'a', but must be above 0"),
        ({"global_pool": "max"}, "pooling 'max' is not supported, only token, avg and map"),
        ({"pretrained_cfg": {"std": [0, 0, 0]}}, "pretrained_cfg: --std"),
        ({"pretrained_cfg": {"mean": "a"}}, "pretrained_cfg: --mean"),
    ],
)
def test_what_is_wrong_in_timms_configuration_is_named(tmp_path, change, said):
    state, texts = timm_hub_files()
    (tmp_path / "config.json").write_text(json.dumps(texts["config.json"] | change))
    save_file(plain(state), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path)


def test_timms_configuration_is_honoured(tmp_path):
    state, texts = timm_hub_files()
    meta = texts["config.json"]
    meta["pretrained_cfg"] = {
        "mean": [0.1, 0.2, 0.3],
        "std": [0.3, 0.2, 0.1],
        "interpolation": "bilinear",
        "crop_pct": 0.8,
    }
    (tmp_path / "config.json").write_text(json.dumps(meta))
    save_file(plain(state), tmp_path / "model.safetensors")
    model = load_model(f"local-dir:{tmp_path}", check=False)
    pre = model.preprocessing
    assert (pre.mean, pre.std, pre.interpolation) == ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), "bilinear")
    assert (model.config.heads, model.config.depth, model.config.image_size) == (1, 2, (32, 32))
