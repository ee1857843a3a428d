"""Modules in memory: what they compute, how their photos are prepared, and that nothing of theirs is changed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from p2vit.errors import ModelError  # noqa: E402
from p2vit.models.sources.module import from_module  # noqa: E402
from p2vit.program.preprocessing import Preprocessing  # noqa: E402

SMALL = {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 5}
SHAPE = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96,
    "image_size": 32, "patch_size": 8, "num_labels": 5,
}  # fmt: skip
PRE = Preprocessing(image_size=(32, 32), mean=(0.2, 0.3, 0.4))


def assert_same(found, module):
    """The module's own forward on normalised pixels."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    pre = found.preprocessing
    x = ((pixels / 255 - torch.tensor(pre.mean)) / torch.tensor(pre.std)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        want = module(x)
        want = want if isinstance(want, torch.Tensor) else want.logits
        torch.testing.assert_close(found.module(pixels), want, rtol=1e-4, atol=1e-4)


def test_a_module_of_timm_knows_its_preparation(timm):
    vit = timm.create_model("vit_small_patch16_224.dino", pretrained=False, **SMALL).train()
    before = {key: value.clone() for key, value in vit.state_dict().items()}
    found = from_module(vit)
    assert vit.training
    assert all(torch.equal(before[key], value) for key, value in vit.state_dict().items())
    assert all(parameter.requires_grad for parameter in vit.parameters())
    assert found.preprocessing.mean == (0.485, 0.456, 0.406)
    assert found.checked is not None
    assert found.checked.pixels
    assert_same(found, vit.eval())
    assert from_module(vit, PRE).preprocessing == PRE


def test_a_module_of_transformers_with_its_processor(transformers, tmp_path):
    vit = transformers.ViTForImageClassification(transformers.ViTConfig(**SHAPE)).eval()
    with pytest.raises(ModelError, match=r"does not state its preprocessing.*pass preprocessing="):
        from_module(vit)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=3)
    found = from_module(vit, processor)
    assert (found.preprocessing.interpolation, found.checked.pixels) == ("bicubic", True)
    assert_same(found, vit)
    assert from_module(vit, PRE).preprocessing == PRE
    vit.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = from_module(transformers.ViTForImageClassification.from_pretrained(tmp_path))
    assert again.preprocessing == found.preprocessing
    with pytest.raises(ModelError, match="is a str, but must be a p2vit Preprocessing"):
        from_module(vit, "bicubic")


def test_a_module_of_torchvision_with_its_transform(torchvision_operators):
    torchvision = pytest.importorskip("torchvision")
    vit = torchvision.models.VisionTransformer(32, 8, 2, 3, 96, 192, num_classes=5).eval()
    torch.nn.init.normal_(vit.heads.head.weight)
    with pytest.raises(ModelError, match=r"pass preprocessing=.*weights\.transforms"):
        from_module(vit)
    found = from_module(
        vit, torchvision.transforms._presets.ImageClassification(crop_size=32, resize_size=37)
    )
    assert found.config.heads == 3
    assert found.checked.pixels
    assert_same(found, vit)


def test_other_modules_are_refused():
    with pytest.raises(ModelError, match=r"torch\.nn\.modules\.linear\.Linear is not supported"):
        from_module(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_module_of_other_floats_is_compared_by_its_weights(timm, dtype):
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SMALL).to(dtype)
    found = from_module(vit)
    assert found.checked is not None
    assert found.checked.difference < 1e-5
    assert {parameter.dtype for parameter in vit.parameters()} == {dtype}


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, torch.compile], ids=["DataParallel", "compile"])
def test_a_module_inside_a_wrapper(timm, wrap):
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SMALL)
    assert from_module(wrap(vit)).sha256 == from_module(vit).sha256


def _epsilon(block):
    block.norm2.eps = 0.1


def _activation(block):
    block.mlp.act = torch.nn.GELU(approximate="tanh")


def _scale(block):
    block.attn.scale = 0.3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_epsilon, r"blocks\.1\.norm2 has the epsilon 0\.1"),
        (_activation, "block 1 has another activation than block 0"),
        (_scale, r"block 1 scales attention by 0\.3"),
    ],
)
def test_a_block_unlike_the_first_is_refused(timm, change, said):
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SMALL)
    change(vit.blocks[1])
    with pytest.raises(ModelError, match=said):
        from_module(vit, check=False)


@pytest.mark.parametrize("mean", [0.5, (0.5, 0.4, 0.3)], ids=str)
def test_a_mean_for_all_channels(timm, mean):
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SMALL)
    vit.pretrained_cfg = {**vit.pretrained_cfg, "mean": mean, "std": 0.25}
    found = from_module(vit)
    assert found.preprocessing.mean == ((0.5,) * 3 if mean == 0.5 else mean)
    assert found.checked is not None
