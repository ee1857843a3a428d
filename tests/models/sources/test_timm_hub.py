"""Folders that timm itself saves: read as timm makes the model, or refused by the argument's name."""

import numpy as np
import pytest
import torch
from PIL import Image

from p2vit.data.preprocess import to_pixels
from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from support.tiers import extended

SMALL = {"depth": 1, "embed_dim": 64, "num_heads": 4, "img_size": 64, "num_classes": 5}
READ = [
    {},
    {"num_classes": 0},
    {"global_pool": "avg"},
    {"global_pool": "avg", "fc_norm": False},
    {"img_size": (64, 96)},
    {"init_values": 0.1},
    {"qkv_bias": False},
    {"proj_bias": False},
    {"act_layer": "gelu_tanh"},
    {"act_layer": "quick_gelu"},
    {"no_embed_class": True},
    {"reg_tokens": 2},
    {"reg_tokens": 2, "no_embed_class": True},
    {"dynamic_img_size": True},
    {"norm_layer": "layernorm"},
    {"pre_norm": True},
    {"class_token": False, "global_pool": "avg"},
    {"mlp_ratio": 3.0},
    {"patch_size": 8},
    {"drop_path_rate": 0.1},
]
REFUSED = [
    ({"act_layer": "silu"}, "act_layer is 'silu', which is not supported"),
    ({"norm_layer": "rmsnorm"}, "norm_layer is 'rmsnorm', only 'layernorm'"),
    ({"in_chans": 1}, "in_chans is 1, only 3 is supported"),
    ({"qk_norm": True}, "model_args qk_norm are not supported"),
    ({"pos_embed": "none"}, "model_args pos_embed are not supported"),
]


def saved(timm, folder, name, arguments):
    """A module with random weights, as timm saves it."""
    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False, **arguments).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    timm.models.save_for_hf(module, str(folder))
    return module


def difference(timm, module, model):
    """Largest difference of the outputs over the largest output, on one photo."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 131, 3), dtype=np.uint8))
    height, width = model.preprocessing.image_size
    data = {**timm.data.resolve_model_data_config(module), "input_size": (3, height, width)}
    pipeline = timm.data.create_transform(**data, is_training=False)
    with torch.inference_mode():
        want = module(pipeline(photo)[None])
        got = model.module(torch.from_numpy(to_pixels(photo, model.preprocessing))[None])
    return float((want - got).abs().max() / want.abs().max())


@pytest.mark.parametrize("arguments", READ, ids=str)
def test_what_timm_saves_is_what_timm_computes(timm, tmp_path, arguments):
    module = saved(timm, tmp_path, "vit_tiny_patch16_224", SMALL | arguments)
    model = load_model(tmp_path)
    assert model.checked is not None
    assert difference(timm, module, model) < 1e-5


@pytest.mark.parametrize(
    "name",
    extended(
        [
            "deit_tiny_distilled_patch16_224",
            "deit3_small_patch16_224",
            "vit_base_patch16_siglip_224",
            "vit_base_patch32_clip_quickgelu_224",
            "vit_small_patch14_reg4_dinov2",
        ],
        quick=["deit_tiny_distilled_patch16_224", "vit_small_patch14_reg4_dinov2"],
    ),
)
def test_each_family_as_timm_saves_it(timm, tmp_path, name):
    size = {"img_size": 56} if "dinov2" in name else {}
    module = saved(timm, tmp_path, name, {"depth": 1, **size})
    assert difference(timm, module, load_model(tmp_path)) < 1e-5


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=str)
def test_what_is_not_supported_is_named(timm, tmp_path, arguments, said):
    saved(timm, tmp_path, "vit_tiny_patch16_224", SMALL | arguments)
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path)
