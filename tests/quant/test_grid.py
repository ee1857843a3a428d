import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from p2vit.quant.grid import (
    Grid,
    log2_scale_for,
    offset_grid,
    range_grid,
    round_log2,
    tensor_error,
    tensor_mse_grid,
)

floats = st.floats(-1e3, 1e3, width=32)


@given(st.lists(floats, min_size=1, max_size=20), st.sampled_from([4, 8, 16]))
def test_a_covering_grid_is_off_by_at_most_half_a_step(values, bits):
    x = torch.tensor(values).unsqueeze(1)
    grid = range_grid(x.abs().amax(0), "pot", bits)
    assert bool(((grid.fake(x) - x).abs() <= grid.scale * 0.5000001).all())


def test_values_are_rounded_half_up_and_saturate():
    grid = Grid(torch.zeros((), dtype=torch.float64), 8)
    x = torch.tensor([0.5, -0.5, 1.5, -1.5, 200.0, -200.0])
    assert grid.stored(x).tolist() == [1, 0, 2, -1, 127, -128]


@pytest.mark.parametrize(
    ("rule", "expected"), [("ceil", -2), ("floor", -3), ("nearest", -3), ("pot", -2), ("float", -2.6)]
)
def test_rules(rule, expected):
    assert float(round_log2(torch.tensor(-2.6, dtype=torch.float64), rule)) == pytest.approx(expected)


@given(st.floats(-20, 0.5), st.floats(0.6, 40))
def test_an_offset_grid_covers_its_range_with_all_its_codes(low, high):
    low, high = torch.tensor(low), torch.tensor(high)
    grid = offset_grid(low, high, "pot")
    ends = grid.stored(torch.tensor([low, high]))
    assert ends[0] == -128
    assert abs(float(grid.fake(high)) - high) <= float(grid.scale) * 1.01
    assert offset_grid(low, high, "float").scale <= grid.scale


def test_exponents_are_integers_or_refused():
    assert Grid(torch.tensor([-3.0, 2.0], dtype=torch.float64)).exponents().tolist() == [-3, 2]
    assert Grid(torch.tensor(-3.0, dtype=torch.float64)).exponents().dtype == np.int8
    with pytest.raises(ValueError, match="a scale is not a power of two"):
        Grid(torch.tensor(-2.5, dtype=torch.float64)).exponents()


def test_silent_channels_get_a_finite_scale():
    assert torch.isfinite(log2_scale_for(torch.zeros(3), 8, "pot")).all()


def test_the_tensors_own_optimum_is_never_worse_than_the_range():
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    start = range_grid(x.abs().amax(0), "pot")
    assert bool((tensor_error(x, tensor_mse_grid(x, start)) <= tensor_error(x, start)).all())
    one = range_grid(x.abs().amax(0), "pot", per_channel=False)
    assert tensor_error(x, tensor_mse_grid(x, one)) <= tensor_error(x, one)
