"""Errors of every tensor: small where program and float model agree, and large from the first wrong step on."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ModelError
from p2vit.numerics import Linear
from p2vit.program.graph import Node
from p2vit.quant.config import METHODS
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.sensitivity import sqnr_db
from p2vit.quant.site_errors import beyond_grid, first_below, hidden_order, site_errors
from support.families import FAMILIES, SWIN
from support.tiny import float_model, smooth_photos, swin_model


def made(kind, method="p2vit", **changes):
    """A quantized model of a family, its program and a photo."""
    changes = {**FAMILIES[kind], **changes}
    model = (swin_model if kind.startswith(SWIN) else float_model)(1, **changes)
    photos = smooth_photos(model.config.image_size, 6)
    quantized, _ = quantize_model(model.module, [photos], METHODS[method], 1)
    return model, quantized, lower(quantized, model.preprocessing), photos[0]


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_tensor_of_every_family_is_near_the_float_model(kind):
    model, _, program, photo = made(kind, mlp_dim=128) if not kind.startswith(SWIN) else made(kind)
    found = site_errors(program, model, photo, 1)
    assert [site.name for site in found] == [node.name for node in program.nodes]
    low = [site for site in found if site.sqnr_db < 15 or site.own_sqnr_db < 18]
    assert not low, "a step is compared with another one of the float model"
    assert first_below(found, 15) is None


@pytest.mark.parametrize("method", ["p2vit-log2", "p2vit-residual8"])
def test_other_methods_are_compared_with_the_same_values(method):
    model, _, program, photo = made("ViT", method)
    found = {site.name: site for site in site_errors(program, model, photo, 1)}
    assert min(site.sqnr_db for site in found.values()) > 10


def test_the_last_error_is_that_of_the_feature():
    """Computed apart: the reference executor against the float model."""
    model, _, program, photo = made("ViT")
    feature = next(site for site in site_errors(program, model, photo, 1) if site.name == program.feature)
    with torch.inference_mode():
        exact = model.module.features(torch.from_numpy(photo[None]))
    stored = ReferenceExecutor(program).run(photo[None])[program.feature]
    ours = program.tensors[program.feature].real(stored).reshape(exact.shape)
    assert feature.sqnr_db == pytest.approx(sqnr_db(exact, ours), abs=0.02)


def test_a_wrong_step_is_the_first_one_and_its_value_is_named():
    model, _, program, photo = made("ViT")
    name = "blocks.1.attn.k"
    operator = program.node(name).operator
    bias = operator.bias.copy()
    bias[3] += 40 << int(operator.shift.max())
    nodes = tuple(
        Node(node.name, replace(operator, bias=bias), node.inputs) if node.name == name else node
        for node in program.nodes
    )
    found = site_errors(replace(program, nodes=nodes), model, photo, 1)
    first = first_below(found, 15)
    assert first is not None
    assert first.name == name
    assert first.worst.index[-1] == 3
    assert first.worst.program > first.worst.float
    after = {site.name: site for site in found}
    assert after["blocks.1.attn.scores"].own_sqnr_db == math.inf
    assert after["blocks.0.add2"].sqnr_db > 20


def test_values_beyond_the_grid_are_counted():
    _, _, program, _ = made("ViT")
    spec = program.tensors["blocks.0.norm1"]
    high = float(spec.real(np.full(spec.shape, spec.limits[1])).max())
    inside = torch.zeros(1, *spec.shape)
    assert beyond_grid(spec, inside) == 0
    outside = inside.clone()
    outside[0, 0, 0] = 10 * high
    assert beyond_grid(spec, outside) == round(100 / outside.numel(), 3)
    assert beyond_grid(program.tensors[program.output], inside) is None


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_hidden_channels_are_found_again(bits):
    """The permutation of the quantizer, read from the weights alone, maps every row to its own."""
    from p2vit.quant.config import OURS
    from p2vit.quant.float_steps import FloatSteps

    model = float_model(1, mlp_dim=192)
    photos = smooth_photos(model.config.image_size, 6)
    config = replace(OURS, weight_bits=bits, weight_rounding="nearest", table_channels=8)
    quantized, _ = quantize_model(model.module, [photos], config, 1)
    program = lower(quantized, model.preprocessing)
    steps = FloatSteps(model.module)
    step = next(step for step in steps.blueprint.steps if step.layer == "fc1")
    order = hidden_order(program, step, steps)
    assert sorted(order.tolist()) == list(range(192))
    assert order.tolist() != list(range(192)), "the test needs channels that are sorted"
    operator = program.node(step.name).operator
    assert isinstance(operator, Linear)
    exponents = operator.accumulator_exponent.astype(np.int32)[:, None] - program.tensors[
        step.inputs[0]
    ].exponent.astype(np.int32)
    ours = np.ldexp(operator.weight.astype(np.float64), exponents)
    exact = steps.folded(step).layers["fc1"].weight.double().numpy()[order.numpy()]
    size = np.abs(exact).max(axis=1)
    assert (np.abs(ours - exact).max(axis=1) < size).all()


def test_the_float_model_of_another_shape_is_refused():
    _, _, program, photo = made("ViT")
    with pytest.raises(ModelError, match="not the model that was quantized"):
        site_errors(program, float_model(1, depth=1), photo, 1)
