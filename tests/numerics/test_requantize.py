from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import int_range, storage_dtype


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-8, 31), st.sampled_from([4, 8, 16]))
def test_requantize_is_within_half_a_step_or_saturated(x, shift, bits):
    low, high = int_range(bits, True)
    exact = Fraction(x) / Fraction(2) ** shift
    got = int(requantize(np.array(x), shift, bits))
    if low <= exact <= high:
        assert abs(got - exact) <= Fraction(1, 2)
    else:
        assert got == (low if exact < low else high)


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("signed", [True, False])
def test_the_narrowest_dtype_holds_the_ends(bits, signed):
    low, high = int_range(bits, signed)
    out = requantize(np.array([low - 1, low, high, high + 1]), 0, bits, signed)
    assert out.dtype == storage_dtype(bits, signed)
    assert out.tolist() == [low, low, high, high]
