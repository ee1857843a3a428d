from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Affine
from support.exact import half_up


@given(
    st.lists(
        st.tuples(st.integers(-32768, 32767), st.integers(-(2**29), 2**29), st.integers(-8, 30)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([8, 16]),
    st.sampled_from([(-32768, 32767), (-100, 100), (3, 7)]),
)
def test_affine_against_fractions(parameters, bits, limits):
    gain, bias, shift = (np.array(column) for column in zip(*parameters, strict=True))
    operator = Affine(gain, bias, shift, bits)
    bounds = operator.bounds(limits)
    low, high = bounds.intermediates["accumulator"]
    values = np.array([*limits, sum(limits) // 2])
    out = operator.compute(np.repeat(values[None, :, None], len(gain), 2).astype(np.int16))
    assert out.dtype == operator.storage
    for (_, row, c), got in np.ndenumerate(out):
        product = int(values[row]) * int(gain[c]) + int(bias[c])
        s = int(shift[c])
        assert got == half_up(Fraction(product) / Fraction(2) ** s, bits)
        register = product + (1 << (s - 1)) if s > 0 else product << -s
        assert low <= min(product, register) <= max(product, register) <= high
        assert bounds.output[0] <= got <= bounds.output[1]


def test_refusals():
    one = np.ones(1, int)
    with pytest.raises(ValueError, match=r"gain has shape \(0,\)"):
        Affine(one[:0], one[:0], one[:0])
    with pytest.raises(ValueError, match=r"bias has shape \(2,\); expected \(1,\)"):
        Affine(one, np.ones(2, int), one)
    with pytest.raises(ValueError, match=r"shift leaves −8..30"):
        Affine(one, one, 31 * one)
    with pytest.raises(ValueError, match=r"Affine.gain spans 40000..40000; int16 holds"):
        Affine(40000 * one, one, one)
    with pytest.raises(ValueError, match=r"accumulator_exponent has shape \(2,\)"):
        Affine(one, one, one, accumulator_exponent=np.zeros(2, int))
    with pytest.raises(ValueError, match=r"input has shape \[3\]; the gain has 1 channels"):
        Affine(one, one, one).output_shape((3,))
