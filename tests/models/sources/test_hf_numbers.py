"""Sizes that no model has are refused by name, before memory is taken for them."""

import json
import resource

import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from p2vit.models.sources.hf_numbers import check_numbers
from support.model_files import transformers_files
from support.wrappers import plain

ODD = (0, -1, 10**9, 1.5, "a", [], True, {"a": 1}, float("nan"), 10**400)


@pytest.mark.parametrize("value", ODD, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize(
    "key",
    [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "patch_size",
        "window_size",
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_odd_sizes(key, value, inside):
    meta = {"vision_config": {key: value}} if inside else {key: value}
    with pytest.raises(
        ModelError, match=rf"config\.json: (vision_config\.)?{key} is .*but must be an integer from 1"
    ):
        check_numbers(meta, "m: config.json")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0, but must be a number above 0 and at most 1"),
        ({"layer_norm_eps": float("inf")}, "layer_norm_eps is inf"),
        ({"layer_norm_eps": "1e-6"}, "layer_norm_eps is '1e-6'"),
        ({"mlp_ratio": -4}, "mlp_ratio is -4, but must be a number above 0 and at most 1024"),
        ({"depths": [2, 0]}, r"depths\[1\] is 0, but must be an integer from 1 to 1000"),
        ({"depths": [2] * 9}, "depths is .* but must be a list of 1 to 8 numbers"),
        ({"num_heads": "3"}, "num_heads is '3', but must be a list"),
        ({"image_size": 0}, "image_size is 0, but must be an integer from 1 to 16384"),
        (
            {"image_size": [224, 224, 3]},
            r"image_size is \[224, 224, 3\], but must be a size or \(height, width\)",
        ),
        ({"image_size": {"height": "a"}}, "image_size is 'a'"),
        ({"hidden_act": 3}, "hidden_act is 3, but must be a name"),
        ({"vision_config": 3}, "vision_config is 3, but must be an object"),
        ({"id2label": [1]}, r"id2label is \[1\], but must be an object of class numbers and names"),
        ({"id2label": {"a": "cat"}}, "id2label: 'a': 'cat' is not a class number"),
        ({"id2label": {"0": "cat", "2": "dog"}}, "id2label: the class numbers must be 0 to 1, each once"),
        ({"id2label": {"0": {"x": 1}}}, "id2label: '0'"),
    ],
)
def test_what_is_refused(meta, said):
    with pytest.raises(ModelError, match=said):
        check_numbers(meta, "m: config.json")


def test_what_is_usual_passes():
    for kind in ("vit", "dinov2"):
        check_numbers(transformers_files(kind)[1]["config.json"], "m: config.json")
    check_numbers({"window_size": 7, "num_heads": [3, 6], "depths": [2, 2], "image_size": [224, 192]}, "m")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"num_hidden_layers": 999}, "blocks: 2 in the weights, 999 in the configuration"),
        (
            {"hidden_size": 65536, "num_attention_heads": 64},
            "reads 64 features, which is not supported; only a head on the 65536",
        ),
        ({"intermediate_size": 1 << 18}, "channels in the MLP: 96 in the weights, 262144"),
        ({"patch_size": 16}, "patch size: 8 in the weights, 16 in the configuration"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
    ],
)
def test_a_folder_with_an_odd_configuration_takes_no_memory(tmp_path, change, said):
    state, texts = transformers_files("vit")
    texts["config.json"] |= change
    for name, content in texts.items():
        (tmp_path / name).write_text(json.dumps(content))
    save_file(plain(state), tmp_path / "model.safetensors")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
    assert torch.is_tensor(state["classifier.weight"])
