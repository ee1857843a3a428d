import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Lookup


def test_lookup_reads_every_entry():
    table = np.random.default_rng(0).integers(-128, 128, (1, 256)).astype(np.int8)
    x = np.arange(-128, 128, dtype=np.int8).reshape(1, 2, 128)
    operator = Lookup(table)
    assert np.array_equal(operator.compute(x).reshape(1, -1), table)
    assert operator.compute(x).dtype == np.int8
    assert operator.output_shape((2, 128)) == (2, 128)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_each_group_of_channels_has_its_table(groups, width, seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(-128, 128, (groups, 256)).astype(np.int8)
    x = rng.integers(-128, 128, (2, 3, groups * width)).astype(np.int8)
    got = Lookup(table).compute(x)
    for channel in range(groups * width):
        assert (got[..., channel] == table[channel // width][x[..., channel].astype(int) + 128]).all()


@given(st.integers(-128, 127), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_lookup_bounds_are_exactly_what_is_reached(low, width, seed):
    high = min(127, low + width)
    operator = Lookup(np.random.default_rng(seed).integers(-128, 128, (1, 256)))
    reached = operator.compute(np.arange(low, high + 1, dtype=np.int8)[None])
    assert operator.bounds((low, high)).output == (reached.min(), reached.max())


def test_a_gelu_table_errs_by_half_a_step():
    from math import erf

    real = np.arange(-128, 128) * 2.0**-4
    exact = np.array([x / 2 * (1 + erf(x / 2**0.5)) for x in real]) * 2**4
    operator = Lookup(np.clip(np.floor(exact + 0.5), -128, 127).astype(np.int8)[None])
    got = operator.compute(np.arange(-128, 128, dtype=np.int8)[None])[0]
    assert np.abs(got - np.clip(exact, -128, 127)).max() <= 0.5


def test_refusals():
    with pytest.raises(ValueError, match=r"table has shape \(1, 255\); expected \(groups, 256\)"):
        Lookup(np.zeros((1, 255), int))
    with pytest.raises(ValueError, match="its channels must be a multiple of the 3 tables"):
        Lookup(np.zeros((3, 256), int)).output_shape((5, 8))
