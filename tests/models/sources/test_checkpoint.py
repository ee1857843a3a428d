import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.registry import load_model


@pytest.fixture
def state():
    module = load_model("random:digits").module
    return {name: value.clone() for name, value in module.named_parameters()}


def as_timm(state):
    """The inverse of the mapping, for a model with an embedding, one norm pair per block and a head."""
    out = {}
    for name, value in state.items():
        if ".q." in name:
            qkv = [state[name.replace(".q.", f".{letter}.")] for letter in "qkv"]
            out[name.replace(".q.", ".attn.qkv.")] = torch.cat(qkv)
        elif ".k." not in name and ".v." not in name:
            new = name.replace(".proj.", ".attn.proj.").replace(".fc", ".mlp.fc")
            out[new.replace("patch_embed.", "patch_embed.proj.")] = value
    out["patch_embed.proj.weight"] = state["patch_embed.weight"].reshape(64, 2, 2, 3).permute(0, 3, 1, 2)
    out["cls_token"], out["pos_embed"] = out.pop("prefix")[None], out.pop("position")[None]
    return {name: value.contiguous() for name, value in out.items()}


def test_canonical_and_timm_files_give_the_same_model(tmp_path, state):
    want = load_model("random:digits").sha256
    save_file(state, tmp_path / "own.safetensors")
    save_file(as_timm(state), tmp_path / "timm.safetensors")
    torch.save(
        {"model": {f"module.{n}": v for n, v in as_timm(state).items()}, "epoch": 3}, tmp_path / "w.pth"
    )
    for file in ("own.safetensors", "timm.safetensors", "w.pth"):
        assert load_model(tmp_path / file, arch="digits").sha256 == want


def test_number_of_classes_is_the_files(tmp_path, state):
    state = as_timm(state)
    state["head.weight"], state["head.bias"] = torch.zeros(3, 64), torch.zeros(3)
    save_file(state, tmp_path / "a.safetensors")
    assert load_model(tmp_path / "a.safetensors", arch="digits").config.num_classes == 3


def test_positions_are_resampled(tmp_path, state):
    save_file(as_timm(state), tmp_path / "a.safetensors")
    model = load_model(tmp_path / "a.safetensors", arch="digits", image_size=12)
    assert model.module.position.shape == (37, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.mlp.fc1.weight"), r"missing: blocks\.1\.mlp\.fc1\.weight"),
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), r"not part of \S+: extra\.weight"),
        (lambda s: s.update({"blocks.0.attn.q_norm.weight": torch.ones(32)}), "qk_norm"),
        (
            lambda s: s.update({"norm.bias": torch.full((64,), float("nan"))}),
            r"NaN or infinity in: norm\.bias",
        ),
        (lambda s: s.update({"norm.bias": torch.zeros(65)}), r"norm\.bias is \[65\], not \[64\]"),
        (lambda s: s.update({"pos_embed": torch.zeros(1, 24, 64)}), "24 position embeddings"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, state, change, message):
    state = as_timm(state)
    change(state)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "a.safetensors", arch="digits")


def test_files_that_are_no_weights(tmp_path, state):
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ModelError, match=r"a\.(safetensors|pth): not "):
            load_model(tmp_path / name, arch="digits")
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "code.pth")
    with pytest.raises(ModelError, match="refused"):
        load_model(tmp_path / "code.pth", arch="digits")
    save_file(
        {"conv1.weight": torch.zeros(1), "bn1.running_mean": torch.zeros(1)}, tmp_path / "r.safetensors"
    )
    with pytest.raises(ModelError, match=r"not a ViT in a known layout.*BatchNorm"):
        load_model(tmp_path / "r.safetensors", arch="digits")


def test_the_architecture_is_needed(tmp_path, state):
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="--arch"):
        load_model(tmp_path / "a.safetensors")
