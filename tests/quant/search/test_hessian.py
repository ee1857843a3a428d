import pytest
import torch

from p2vit.quant.config import OURS
from p2vit.quant.search.hessian import hessian_sensitivity, hessian_traces
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.library import build_library
from support.families import FAMILIES
from support.tiny import float_model, smooth_photos, swin_model


def test_the_estimate_is_the_exact_trace(tiny_model, photos):
    model, name = tiny_model.module, "blocks.1.attn.v"
    weight = model.blocks[1].v.weight
    weight.requires_grad_(True)
    features = model.features(torch.from_numpy(photos[:1]))[0]
    exact = 2 * sum(
        float((torch.autograd.grad(value, weight, retain_graph=True)[0].double() ** 2).sum())
        for value in features
    )
    weight.requires_grad_(False)
    estimate = hessian_traces(model, photos[:1], 400, seed=0)[name] * weight.numel()
    assert estimate == pytest.approx(exact, rel=0.15)


def test_equal_seeds_give_equal_traces_and_leave_no_gradients_on(tiny_model, photos):
    first, again = (hessian_traces(tiny_model.module, photos[:2], 2, seed=3) for _ in range(2))
    assert first == again
    assert hessian_traces(tiny_model.module, photos[:2], 2, seed=4) != first
    assert not any(parameter.requires_grad for parameter in tiny_model.module.parameters())


def test_narrow_widths_perturb_more(prepared, tiny_model, photos):
    traces = hessian_traces(tiny_model.module, photos[:2], 2, seed=0)
    table = hessian_sensitivity(tiny_model.module, prepared.scorer.library, traces)
    assert all(row[4] > row[8] > 0 for row in table.values())


@pytest.mark.parametrize("family", ["EVA-02", "gated by GELU", "Swin"])
def test_every_searchable_layer_of_a_family_has_a_sensitivity(family):
    shape = (swin_model if family == "Swin" else float_model)(1, **FAMILIES[family])
    photos = smooth_photos(shape.config.image_size, 4)
    library = build_library(shape, [photos], OURS, (4, 8), threads=1)
    traces = hessian_traces(shape.module, photos[:1], 1, seed=0)
    table = hessian_sensitivity(shape.module, library, traces)
    assert list(table) == [layer.name for layer in searchable(shape.config)]
    assert any(name.endswith("mlp.up") for name in table) == (family != "Swin")
