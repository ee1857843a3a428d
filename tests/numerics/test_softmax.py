import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Softmax
from p2vit.numerics.softmax import EXP2_TABLE, LOG2_E, octaves_below_maximum


def distances(top: int) -> np.ndarray:
    """One row of scores whose distances from the maximum are 0..top."""
    return -np.arange(top + 1, dtype=np.int32)[None, None, None, :]


def softmax(shift=0, form="linear", heads=1):
    return Softmax(np.full(heads, shift), form)


def test_table_is_the_nearest_integer_to_a_power_of_two():
    exact = 2 ** (15 - (np.arange(128) + 0.5) / 128)
    assert np.abs(EXP2_TABLE - exact).max() <= 0.5 + 1e-9
    assert EXP2_TABLE.dtype == np.uint16


def test_table_error_within_a_step():
    steps = np.arange(128)
    for edge in (steps, steps + 1):
        relative = EXP2_TABLE / 2 ** (15 - edge / 128) - 1
        assert np.abs(relative).max() <= 2**-8.5


def test_log2_e_is_the_nearest_and_even():
    assert round(math.log2(math.e) * 2**15) == LOG2_E
    assert LOG2_E % 2 == 0


def test_octaves_for_every_distance():
    u = octaves_below_maximum(distances(70000), 0).reshape(-1)
    z = np.minimum(np.arange(70001), 65535)
    assert u.tolist() == ((z * LOG2_E) >> 16).tolist()
    assert u.max() == 47273
    error = u / 2**11 - z / 2**12 * math.log2(math.e)
    assert np.abs(error).max() <= 2**-10


def test_linear_codes_for_every_distance():
    codes = softmax().compute(distances(70000)).reshape(-1).astype(float)
    exact = np.minimum(255, 256 * np.exp(-np.minimum(np.arange(70001), 65535) / 2**12))
    assert codes[0] == 255
    # Half a code, plus 0.4 % of it: the table's step, the product's floor and rounding together.
    assert (np.abs(codes - exact) <= 0.5 + 0.004 * exact).all()
    assert (np.diff(codes) <= 0).all()
    assert codes[-1] == 0


def test_log2_codes_for_every_distance():
    codes = softmax(form="log2").compute(distances(70000)).reshape(-1).astype(int)
    octaves = np.minimum(np.arange(70001), 65535) / 2**12 * math.log2(math.e)
    near = octaves < 15.5 - 2**-10
    assert codes[0] == 0
    assert np.abs(codes - octaves)[near].max() <= 0.5 + 2**-10
    assert (codes[~near & (octaves > 15.5)] == 15).all()
    assert (np.diff(codes) >= 0).all()


@given(st.integers(-6, 24), st.integers(0, 2**32 - 1), st.sampled_from(["linear", "log2"]))
def test_any_exponent_against_float(shift, seed, form):
    rng = np.random.default_rng(seed)
    # An exponent of the scores of −12 − shift; a spread of up to 20 nats either way.
    exponent = -12 - shift
    spread = max(1, min(int(20 * 2.0**-exponent), 2**29))
    scores = rng.integers(-spread, spread + 1, (1, 1, 4, 9)).astype(np.int32)
    codes = softmax(shift, form).compute(scores).astype(float)
    below = np.ldexp((scores.max(-1, keepdims=True) - scores).astype(float), exponent)
    # Rounding a distance to 2^-12 costs half a step.
    slack = 2.0**-13 if shift > 0 else 0
    if form == "linear":
        exact = np.minimum(255, 256 * np.exp(-np.minimum(below, 16)))
        assert (np.abs(codes - exact) <= 0.5 + (0.004 + slack) * exact).all()
    else:
        octaves = np.minimum(below, 16) * math.log2(math.e)
        near = octaves < 15.4
        assert (np.abs(codes - octaves)[near] <= 0.5 + 2**-10 + 2 * slack).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from(["linear", "log2"]), st.integers(-4, 24))
def test_every_rows_maximum_gets_the_largest_code(seed, form, shift):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-(2**24), 2**24, (2, 1, 3, 5)).astype(np.int32)
    codes = softmax(shift, form).compute(scores)
    at_top = codes[scores == scores.max(-1, keepdims=True)]
    assert (at_top == (255 if form == "linear" else 0)).all()


def test_a_shift_per_head():
    scores = np.broadcast_to(distances(50)[0], (1, 2, 1, 51))
    both = Softmax(np.array([0, -3])).compute(scores)
    for head, shift in enumerate((0, -3)):
        assert np.array_equal(both[:, head : head + 1], softmax(shift).compute(scores[:, :1]))


@given(st.integers(-8, 24), st.integers(1, 2**24), st.sampled_from(["linear", "log2"]))
def test_bounds_contain_every_register(shift, top, form):
    operator = softmax(shift, form)
    bounds = operator.bounds((-top, top))
    distance = 2 * top
    half = 1 << (shift - 1) if shift > 0 else 0
    aligned = (distance + half) >> shift if shift > 0 else distance << -shift
    assert bounds.intermediates["accumulator"] == (-2 * top, 2 * top)
    low, high = bounds.intermediates["distance"]
    assert low <= 0
    assert max(distance + half, aligned) <= high
    assert bounds.intermediates["product"][1] == 65535 * (LOG2_E // 2) < 2**31
    assert bounds.output == ((0, 255) if form == "linear" else (0, 15))
    codes = operator.compute(np.array([-top, top], np.int32).reshape(1, 1, 1, 2))
    assert codes.min() >= 0
    assert codes.max() <= bounds.output[1]


def test_formats_and_refusals():
    assert softmax().output_format() == (8, False)
    assert softmax(form="log2").output_format() == (4, False)
    assert softmax(heads=2).output_shape((2, 5, 7)) == (2, 5, 7)
    with pytest.raises(
        ValueError, match=r"input has shape \[3, 5, 7\]; softmax wants \[2 heads, queries, keys\]"
    ):
        softmax(heads=2).output_shape((3, 5, 7))
    with pytest.raises(ValueError, match="form is 'exp'; allowed are 'linear' and 'log2'"):
        softmax(form="exp")
    with pytest.raises(ValueError, match=r"shift leaves −24..24"):
        softmax(25)
    with pytest.raises(ValueError, match=r"shift has shape \(0,\); expected one per head"):
        softmax(heads=0)
