"""What the shapes of a file say: wrong architectures are named with those that fit."""

import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.config import ViTConfig
from p2vit.models.registry import load_model
from p2vit.models.sources.facts import differences, facts_of, facts_of_config, fitting
from p2vit.models.sources.layouts import find_roots
from support.layouts import timm_state
from support.model_files import TINY, originals, tensors_of, torchvision_state
from support.tiny import config

TINY_ARCH = "vit_tiny_patch16_224"


def bare_timm(name):
    """A state dict with the shapes of an architecture by timm's names; its tensors take no memory."""
    shape = ARCHITECTURES[name].config
    C, hidden, p = shape.embed_dim, shape.mlp_dim, shape.patch_size
    zeros = torch.zeros(1)
    out = {
        "patch_embed.proj.weight": zeros.expand(C, 3, p, p),
        "cls_token": zeros.expand(1, 1, C),
        "pos_embed": zeros.expand(1, shape.tokens, C),
    }
    for index in range(shape.depth):
        out[f"blocks.{index}.attn.qkv.weight"] = zeros.expand(3 * C, C)
        out[f"blocks.{index}.mlp.fc1.weight"] = zeros.expand(hidden, C)
    return out


def facts(state):
    (root,) = find_roots(state)
    return facts_of(state, root.layout, "file.pth")


@pytest.mark.parametrize(
    "name",
    [name for name, known in ARCHITECTURES.items() if name.startswith(("vit_", "deit")) and "clip" not in name
     and "siglip" not in name and "_pe_" not in name and not getattr(known.config, "register_tokens", 0)],
)  # fmt: skip
def test_an_architecture_fits_its_own_shapes(name):
    state = bare_timm(name)
    assert not differences(facts(state), ARCHITECTURES[name].config)
    assert name in fitting(facts(state))
    for other in fitting(facts(state)):
        assert facts_of_config(ARCHITECTURES[other].config).rows == ARCHITECTURES[name].config.tokens


def test_a_wrong_architecture_says_which_shapes_disagree_and_which_fit(tmp_path):
    torch.save(bare_timm(TINY_ARCH), tmp_path / "a.pth")
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "a.pth", arch="vit_small_patch16_224")
    text = str(caught.value)
    assert (
        "a.pth does not fit vit_small_patch16_224: channels: 192, not 384; channels in the MLP: 768, not 1536"
        in text
    )
    assert "Architectures that fit: deit_tiny_patch16_224, vit_tiny_patch16_224" in text


def test_without_an_architecture_those_that_fit_are_listed(tmp_path):
    torch.save(bare_timm(TINY_ARCH), tmp_path / "a.pth")
    with pytest.raises(
        ModelError, match=r"add --arch, e\.g\. --arch deit_tiny.*Several architectures fit its sizes"
    ):
        load_model(tmp_path / "a.pth")
    torch.save(timm_state(tensors_of(TINY), TINY), tmp_path / "b.pth")
    with pytest.raises(ModelError, match="No architecture of 'p2vit list' has its 2 blocks of 64 channels"):
        load_model(tmp_path / "b.pth")


def test_the_only_one_that_fits_is_taken_and_said(tmp_path):
    torch.save(originals()["timm"].state, tmp_path / "a.pth")
    model = load_model(tmp_path / "a.pth", check=False)
    assert model.config.name == "digits"
    assert any(
        "took the architecture digits, the only known one whose sizes fit; choose another with --arch" in note
        for note in model.notes
    )


@pytest.mark.parametrize(
    ("extra", "missing"), [(2, r"a distillation token \(dist_token\)"), (5, r"four registers \(reg_token\)")]
)
def test_positions_for_more_tokens_name_the_one_that_is_missing(tmp_path, extra, missing):
    state = bare_timm(TINY_ARCH) | {"pos_embed": torch.zeros(1, 196 + extra, 192)}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(
        ModelError, match=rf"{196 + extra} position embeddings are for 196 patches.*missing: {missing}"
    ):
        load_model(tmp_path / "a.pth", arch=TINY_ARCH)


def test_sizes_of_torchvision():
    found = facts(torchvision_state())
    assert (found.embed_dim, found.depth, found.mlp_dim, found.patch_size, found.classes) == (64, 2, 96, 8, 3)
    assert found.grid == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"patch_embed.proj.weight": torch.zeros(64, 3)},
            r"patch_embed\.proj\.weight is \[64, 3\], but must have 4 non-empty dimensions",
        ),
        ({"patch_embed.proj.weight": torch.zeros(0, 3, 8, 8)}, "but must have 4 non-empty dimensions"),
        (
            {"blocks.0.mlp.fc1.weight": torch.zeros(3)},
            r"not a complete model: blocks\.0\.mlp\.fc1\.weight is missing or not a matrix",
        ),
        (
            {f"blocks.{i}.norm1.weight": torch.zeros(1) for i in range(2000)},
            "no ViT has 2000 blocks of 64 channels",
        ),
    ],
)
def test_tensors_that_say_nothing_are_named(change, said):
    with pytest.raises(ModelError, match=said):
        facts(timm_state(tensors_of(TINY), TINY) | change)


def test_differences_name_each_size():
    wanted = config(depth=3, register_tokens=1)
    assert isinstance(wanted, ViTConfig)
    assert differences(facts_of_config(config()), wanted) == [
        "blocks: 2, not 3",
        "tokens before the patches: 1, not 2",
    ]
