"""Dinov2Backbone and its like: their own feature maps, from folders that transformers wrote, and refusals."""

import json

import numpy as np
import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.dense import feature_maps
from p2vit.models.registry import load_model
from p2vit.quant.sensitivity import sqnr_db
from support.tiny import smooth_photos

SIDE, PATCH, DEPTH = 28, 7, 4


def save(folder, kind="Dinov2", **options):
    import transformers

    torch.manual_seed(0)
    more = {"num_register_tokens": 3} if "Registers" in kind else {}
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32,
        num_hidden_layers=DEPTH,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        **more,
        **options,
    )
    model = getattr(transformers, f"{kind}Backbone")(config).eval()
    model.save_pretrained(folder)
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    processor.save_pretrained(folder)
    return model, processor


@pytest.fixture(autouse=True)
def library(torchvision_operators):
    pytest.importorskip("transformers")


@pytest.mark.parametrize("kind", ["Dinov2", "Dinov2WithRegisters"])
def test_the_maps_are_the_librarys(tmp_path, kind):
    model, processor = save(tmp_path, kind, out_features=["stage2", "stage4"])
    loaded = load_model(f"hf:{tmp_path}")
    assert loaded.outputs == ("layers=1,3",)
    assert loaded.checked.difference < 1e-5
    assert loaded.checked.pixels
    photos = smooth_photos((SIDE, SIDE), 4)
    with torch.no_grad():
        wanted = model(processor(list(photos), return_tensors="pt")["pixel_values"]).feature_maps
        ours = loaded.module.feature_maps(torch.from_numpy(photos), (1, 3))
    for layer, theirs in zip((1, 3), wanted, strict=True):
        assert torch.allclose(ours[layer], theirs.flatten(2).transpose(1, 2), atol=1e-5)


def test_quantize_puts_them_out_without_being_asked(tmp_path):
    from p2vit.workflows.quantize import run_quantize

    model, processor = save(tmp_path / "model", out_indices=[2, 4])
    found = run_quantize(f"hf:{tmp_path / 'model'}", "noise", tmp_path / "out", calib_images=8, threads=1)
    assert [each["name"] for each in found["outputs"]] == ["feature", "layers.1", "layers.3"]
    assert any("is a backbone" in note for note in found["notes"])
    from p2vit.engine.reference import ReferenceExecutor
    from p2vit.program.format import load

    program, photos = load(tmp_path / "out"), smooth_photos((SIDE, SIDE), 2)
    run = ReferenceExecutor(program).run(photos)
    with torch.no_grad():
        wanted = model(processor(list(photos), return_tensors="pt")["pixel_values"]).feature_maps
    for each, theirs in zip(program.maps, wanted, strict=True):
        ours = each.spatial(program.tensors[each.name].real(run[each.name]))
        assert sqnr_db(theirs.permute(0, 2, 3, 1).numpy(), ours) > 20


def test_the_usual_output_is_the_last_block(tmp_path):
    save(tmp_path)
    assert load_model(f"hf:{tmp_path}", check=False).outputs == (f"layers={DEPTH - 1}",)


def test_other_models_have_no_maps_of_their_own():
    assert load_model("digits").outputs == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apply_layernorm": False}, "says apply_layernorm false"),
        ({"out_features": ["stem", "stage4"]}, "asks for the feature map 'stem', .* stage1 to stage4"),
    ],
)
def test_maps_that_cannot_be_had(tmp_path, change, message):
    save(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"out_indices": None} | change))
    with pytest.raises(ModelError, match=message):
        load_model(f"hf:{tmp_path}", check=False)


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_maps_of_plain_models_are_the_librarys(tmp_path, kind):
    """`layers=` is what get_intermediate_layers(norm=True) gives, for models that are no backbones too."""
    photos = smooth_photos((SIDE, SIDE), 3)
    if kind == "timm":
        timm = pytest.importorskip("timm")
        model = timm.create_model(
            "vit_tiny_patch16_224", img_size=SIDE, patch_size=PATCH, depth=DEPTH, num_classes=0
        ).eval()
        from p2vit.models.sources.module import from_module

        loaded = from_module(model)
        mean, std = (each.view(1, 3, 1, 1) for each in (loaded.module.mean, loaded.module.std))
        x = (torch.from_numpy(photos).permute(0, 3, 1, 2) / 255 - mean) / std
        with torch.no_grad():
            wanted = model.get_intermediate_layers(x, n=[0, 2], norm=True)
    else:
        import transformers

        model, processor = save(tmp_path, "Dinov2WithRegisters")
        plain = transformers.Dinov2WithRegistersModel(model.config)
        plain.load_state_dict(model.state_dict())
        plain.eval().save_pretrained(tmp_path)
        loaded = load_model(f"hf:{tmp_path}")
        with torch.no_grad():
            x = processor(list(photos), return_tensors="pt")["pixel_values"]
            hidden = plain(x, output_hidden_states=True).hidden_states
            wanted = [plain.layernorm(hidden[layer + 1])[:, 4:] for layer in (0, 2)]
    maps = feature_maps(["layers=0,2"], loaded.config)
    ours = loaded.module.feature_maps(torch.from_numpy(photos), [each.layer for each in maps])
    for each, theirs in zip(maps, wanted, strict=True):
        assert np.abs((ours[each.layer] - theirs).detach().numpy()).max() < 1e-4
