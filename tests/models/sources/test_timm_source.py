import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.sources import timm_source
from p2vit.models.sources.timm_source import from_timm_model

SMALL = {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3}
SWIN = {"img_size": 56, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}


def noisy(model):
    """Random values everywhere, also where timm starts from zeros and ones, so that a swap would show."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(0.1 * torch.randn_like(value) if value.ndim < 2 or "token" in name else 0.0)
    return model.eval()


def same(model, name="under test"):
    found = from_timm_model(noisy(model), name)
    pixels = torch.randint(0, 256, (2, *found.config.image_size, 3), dtype=torch.uint8)
    mean, std = torch.tensor(found.preprocessing.mean), torch.tensor(found.preprocessing.std)
    with torch.inference_mode():
        want = model(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
        torch.testing.assert_close(found.module(pixels), want, rtol=1e-4, atol=1e-4)
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deit_tiny_patch16_224", SMALL),
        ("deit3_small_patch16_224", SMALL),
        ("vit_tiny_patch16_224", {**SMALL, "num_classes": 0}),
        ("vit_tiny_patch16_224", {**SMALL, "global_pool": "avg"}),
        ("vit_tiny_patch16_224", {**SMALL, "global_pool": "avg", "fc_norm": False}),
        ("vit_tiny_patch16_224", {**SMALL, "qkv_bias": False}),
        ("vit_base_patch16_clip_quickgelu_224", SMALL),
        ("vit_small_patch14_reg4_dinov2", {**SMALL, "img_size": 28}),
        ("vit_base_patch16_siglip_gap_224", SMALL),
    ],
)
def test_same_logits_as_timm(timm, name, options):
    same(timm.create_model(name, pretrained=False, **options))


@pytest.mark.slow
def test_dinov2_at_full_size(timm):
    same(timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=224))


def test_preprocessing_comes_from_timm(timm):
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    pre = from_timm_model(model, "vit_tiny_patch16_224").preprocessing
    assert (pre.resize, pre.crop_pct, pre.interpolation, pre.mean) == (
        "crop",
        0.9,
        "bicubic",
        (0.5, 0.5, 0.5),
    )


@pytest.mark.parametrize(
    ("name", "options", "piece"),
    [
        ("resnet18", {}, "ResNet"),
        (
            "swinv2_tiny_window8_256",
            {},
            "SwinTransformerV2, which is not supported, only plain Vision Transformers .* Swin",
        ),
        ("swin_tiny_patch4_window7_224", {**SWIN, "always_partition": True}, "always_partition"),
        (
            "swin_tiny_patch4_window7_224",
            {**SWIN, "head_dim": 4},
            r"width different from the residual stream \(head_dim\)",
        ),
        ("swin_tiny_patch4_window7_224", {**SWIN, "global_pool": "max"}, "pooling 'max'"),
        (
            "swin_tiny_patch4_window7_224",
            {**SWIN, "norm_layer": torch.nn.RMSNorm},
            "RMSNorm is not supported, only LayerNorm",
        ),
        ("deit_tiny_distilled_patch16_224", {"num_classes": 0}, "without its two heads"),
        ("vit_tiny_patch16_224", {**SMALL, "qk_norm": True}, "qk_norm"),
        ("vit_base_patch16_siglip_224", {**SMALL, "global_pool": "max"}, "pooling 'max'"),
        (
            "vit_base_patch16_siglip_224",
            {**SMALL, "img_size": 40, "patch_size": 16},
            "not a positive multiple",
        ),
        ("eva02_base_patch16_clip_224", {"img_size": 32, "depth": 1}, "a LayerNorm on the attention output"),
        ("vit_small_patch16_rope_mixed_224", {"img_size": 32, "depth": 1}, "type RotaryEmbeddingMixed"),
        (
            "eva02_tiny_patch14_224",
            {"img_size": 28, "depth": 1, "rope_rotate_half": True},
            "rope_rotate_half=True",
        ),
        (
            "eva02_tiny_patch14_224",
            {"img_size": 28, "depth": 1, "use_post_norm": True},
            "blocks of type EvaBlockPostNorm",
        ),
    ],
)
def test_unsupported_pieces_are_named(timm, name, options, piece):
    model = timm.create_model(name, pretrained=False, **options)
    with pytest.raises(ModelError, match=piece):
        from_timm_model(model, name)


def test_unknown_name(timm):
    with pytest.raises(ModelError, match="Did you mean"):
        timm_source.load_timm("deit_tinny_patch16_224")


def test_offline_says_what_to_download(timm, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        ModelError, match=r"no route to host.*model\.safetensors.*--arch deit_tiny_patch16_224"
    ):
        timm_source.load_timm("deit_tiny_patch16_224.fb_in1k")
