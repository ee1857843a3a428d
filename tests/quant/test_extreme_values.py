"""A model with values out of range is refused, and the message names the layer; other errors are not hidden."""

import numpy as np
import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.loaded import assemble
from p2vit.quant.api import quantize
from p2vit.quant.extreme_values import find_extreme_value, refuse_extreme_values
from support.tiers import extended
from support.tiny import float_model, smooth_photos

PHOTOS = smooth_photos((8, 12), 4)


def changed(change):
    """A tiny model with its tensors changed."""
    model = float_model()
    state = {name: change(name, value.clone()) for name, value in model.module.named_parameters()}
    return assemble(model.config, state, model.preprocessing, source="odd.pth")


@pytest.mark.parametrize("power", extended(range(-40, 41, 4), quick=[-40, -20, -8, -4, 0, 4, 8, 20, 40]))
def test_a_scaled_model_is_quantized_or_refused(power):
    model = changed(lambda name, value: value * 2.0**power)
    try:
        quantize(model, [PHOTOS])
    except ModelError as error:
        assert "odd.pth: cannot be quantized: " in str(error)  # noqa: PT017 (both ends are right)
        assert abs(power) > 4


@pytest.mark.parametrize("factor", extended([0.0, 1e-30, 1e-8, 1e8, 1e30], quick=[1e8]))
@pytest.mark.parametrize(
    "part", ["patch_embed", "norm1", "q", "v", "proj", "fc1", "fc2.weight", "norm.", "head", "position"]
)
def test_one_piece_out_of_scale_is_quantized_or_refused(part, factor):
    model = changed(lambda name, value: value * factor if part in name else value)
    try:
        quantize(model, [PHOTOS])
    except ModelError as error:
        assert "odd.pth: cannot be quantized: " in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda name, value: value * 0,
            "the output of the patch embedding has no value above .*; at least 9.5e-07 is needed",
        ),
        (lambda name, value: value * 1e30, r"has values up to .*e\+30; up to 1.0e\+06 are supported"),
        (
            lambda name, value: value * (1e6 if "fc1" in name else 1),
            r"the output of blocks\.0\.fc1 has values up to",
        ),
    ],
)
def test_the_piece_is_named(change, said):
    with pytest.raises(ModelError, match=said), refuse_extreme_values(changed(change), PHOTOS):
        raise ValueError("shift leaves -31..31")


def test_a_defect_is_not_hidden():
    model = float_model()
    assert find_extreme_value(model, PHOTOS[:1]) is None
    with pytest.raises(ValueError, match="a defect"), refuse_extreme_values(model, PHOTOS):
        raise ValueError("a defect")


def test_infinity_inside_is_named():
    model = float_model()
    with torch.no_grad():
        model.module.blocks[1].fc1.bias[0] = float("nan")
    assert find_extreme_value(model, PHOTOS[:1]) == "the output of blocks.1.fc1 has NaN or infinity"
    assert np.isfinite(PHOTOS).all()
