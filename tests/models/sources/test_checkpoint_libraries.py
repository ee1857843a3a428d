"""A weight file of one library under the name of another: which activation and which preparation it gets."""

import pytest
import torch

from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.registry import load_model
from support.tiers import extended

SIGLIP = "vit_base_patch16_siglip_224"
CLIP = {"vit_base_patch32_clip_224": "gelu", "vit_base_patch32_clip_quickgelu_224": "quick_gelu"}


def shaken(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.mark.slow
def test_siglip_has_its_librarys_activation(timm, transformers, tmp_path):
    of_timm = shaken(timm.create_model(SIGLIP, pretrained=False))
    torch.save(of_timm.state_dict(), tmp_path / "timm.pth")
    found = load_model(tmp_path / "timm.pth", arch=SIGLIP)
    assert found.config.activation == "gelu"
    assert found.checked.difference < 1e-5
    config = transformers.SiglipVisionConfig()
    theirs = shaken(transformers.SiglipVisionModel(config))
    torch.save(theirs.state_dict(), tmp_path / "hf.pth")
    found = load_model(tmp_path / "hf.pth", arch=SIGLIP)
    assert found.config.activation == "gelu_tanh"
    assert found.checked.difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIP)
def test_a_clip_file_of_transformers_is_compared_with_a_tower_of_its_shape(transformers, tmp_path, name):
    config = transformers.CLIPVisionConfig(
        hidden_act=CLIP[name], layer_norm_eps=ARCHITECTURES[name].config.norm_eps
    )
    module = shaken(transformers.CLIPVisionModelWithProjection(config))
    torch.save(module.state_dict(), tmp_path / "a.pth")
    found = load_model(tmp_path / "a.pth", arch=name)
    assert found.checked is not None, found.notes
    assert found.checked.difference < 1e-5


@pytest.mark.parametrize("model_type", extended(["ViT", "DeiT"], quick=["DeiT"]))
@pytest.mark.parametrize(
    ("options", "said"),
    [({}, True), pytest.param({"crop_mode": "squash"}, False, marks=pytest.mark.extended)],
    ids=["nothing stated", "stated"],
)
def test_an_assumed_preparation_is_said(transformers, tmp_path, model_type, options, said):
    shape = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
    config = getattr(transformers, f"{model_type}Config")(**shape)
    module = getattr(transformers, f"{model_type}ForImageClassification")(config)
    torch.save(module.state_dict(), tmp_path / "a.pth")
    found = load_model(tmp_path / "a.pth", arch="deit_tiny_patch16_224", check=False, **options)
    assert any("does not state its preprocessing" in note for note in found.notes) == said
    of_timm = load_model("random:deit_tiny_patch16_224").module.state_dict()
    torch.save(
        {key: value for key, value in of_timm.items() if key not in ("mean", "std")}, tmp_path / "b.pth"
    )
    other = load_model(tmp_path / "b.pth", arch="deit_tiny_patch16_224", check=False)
    assert not any("does not state its preprocessing" in note for note in other.notes)
