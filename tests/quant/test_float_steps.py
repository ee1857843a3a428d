"""The float model step by step: the whole equals the float model, for every kind of ViT."""

import pytest
import torch

from p2vit.quant.float_steps import FloatSteps
from support.families import FAMILIES, SWIN
from support.tiny import float_model, smooth_photos, swin_model

#: Further kinds of pooling and heads.
MORE = {
    "class token beside the mean": {"pool": "token_avg", "register_tokens": 2},
    "class and distillation token": {"pool": "token_dist", "register_tokens": 1},
    "head dim 16, an exact square root": {"embed_dim": 32, "heads": 2},
    "CLIP's embedding": {"pre_norm": True, "num_classes": 4, "embedding_dim": 20},
    "SigLIP's embedding": {"class_token": False, "pool": "attention", "num_classes": 0, "embedding_dim": 24},
}
KINDS = FAMILIES | MORE


def model_of(kind):
    return (swin_model if kind.startswith(SWIN) else float_model)(1, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_feature_and_output_are_the_float_models(kind):
    model = model_of(kind)
    photos = smooth_photos(model.config.image_size, 3)
    steps = FloatSteps(model.module)
    values = steps.run(photos)
    with torch.inference_mode():
        feature, output = (part(torch.from_numpy(photos)) for part in (model.module.features, model.module))
    for name, exact in ((steps.blueprint.feature, feature), (steps.blueprint.output, output)):
        assert torch.allclose(values[name].flatten(1), exact, atol=2e-5 * float(exact.abs().max())), name


@pytest.mark.parametrize("kind", ["ViT", SWIN, "EVA-02", "SigLIP"])
def test_the_residual_stream_is_the_float_models_after_every_block(kind):
    model = model_of(kind)
    photos = smooth_photos(model.config.image_size, 2)
    values = FloatSteps(model.module).run(photos)
    with torch.inference_mode():
        x = model.module.embed(torch.from_numpy(photos))
        for index, block in enumerate(model.module.blocks):
            x = block(x)
            ours = values[f"blocks.{index}.add2"]
            assert torch.allclose(ours, x, atol=2e-5 * float(x.abs().max())), index


@pytest.mark.parametrize("kind", ["ViT", "EVA-02", "SigLIP"])
def test_sorted_hidden_channels_give_the_same_output(kind):
    model = model_of(kind)
    photos = smooth_photos(model.config.image_size, 2)
    plain, sorted_steps = FloatSteps(model.module), FloatSteps(model.module)
    generator = torch.Generator().manual_seed(0)
    for step in sorted_steps.blueprint.steps:
        if step.layer == "fc1":
            sorted_steps.sort_hidden(step, torch.randperm(step.shape[-1], generator=generator))
    before, after = plain.run(photos), sorted_steps.run(photos)
    fc1 = next(step.name for step in plain.blueprint.steps if step.layer == "fc1")
    assert not torch.allclose(before[fc1], after[fc1])
    assert torch.allclose(before[fc1].sort(dim=-1).values, after[fc1].sort(dim=-1).values, atol=1e-5)
    name = plain.blueprint.output
    assert torch.allclose(before[name], after[name], atol=2e-5 * float(before[name].abs().max()))
