from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Add
from p2vit.numerics.rounding import INT32
from support.exact import half_up

shifts = st.integers(0, 15)


@given(
    st.lists(st.tuples(shifts, shifts, shifts), min_size=1, max_size=5),
    st.sampled_from([8, 16]),
    st.integers(0, 2**32 - 1),
)
def test_add_against_fractions(parameters, bits, seed):
    left_a, left_b, shift = (np.array(column) for column in zip(*parameters, strict=True))
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-32768, 32768, (1, 4, len(shift))).astype(np.int16) for _ in range(2))
    a[0, :2], b[0, 0], b[0, 1] = -32768, -32768, 32767
    a[0, 3], b[0, 3] = 32767, 32767
    operator = Add(left_a, left_b, shift, bits)
    out = operator.compute(a, b)
    assert out.dtype == np.dtype(f"int{bits}")
    bounds = operator.bounds((-32768, 32767), (-32768, 32767))
    low, high = bounds.intermediates["accumulator"]
    assert INT32[0] <= low
    assert high <= INT32[1]
    for (_, token, c), value in np.ndenumerate(out):
        total = (int(a[0, token, c]) << int(left_a[c])) + (int(b[0, token, c]) << int(left_b[c]))
        assert value == half_up(Fraction(total, 1 << int(shift[c])), bits)
        assert low <= total <= total + (1 << int(shift[c]) >> 1) <= high
        assert bounds.output[0] <= value <= bounds.output[1]


def test_add_of_equal_exponents_is_exact_and_saturates():
    operator = Add(*(np.zeros(1, int) for _ in range(3)))
    a = np.array([[[1, -32768, 32767, 20000]]], np.int16)
    assert operator.compute(a, a).tolist() == [[[2, -32768, 32767, 32767]]]


@given(st.integers(-40, 0), st.integers(0, 40), shifts, shifts, shifts)
def test_add_bounds_are_tight(low, high, left_a, left_b, shift):
    operator = Add(*(np.array([v]) for v in (left_a, left_b, shift)))
    ends = [np.array([[[v]]], np.int16) for v in (low, high)]
    assert operator.bounds((low, high), (low, high)).output == tuple(
        operator.compute(v, v).item() for v in ends
    )


def test_refusals():
    one = np.ones(1, int)
    with pytest.raises(ValueError, match=r"left_b leaves 0..15"):
        Add(one, 16 * one, one)
    with pytest.raises(ValueError, match=r"shift leaves 0..15"):
        Add(one, one, -one)
    with pytest.raises(ValueError, match=r"left_a has shape \(0,\); expected \(channels,\) or \(1,\)"):
        Add(one[:0], one, one)
    with pytest.raises(ValueError, match="output_bits is 4; allowed are 8 and 16"):
        Add(one, one, one, 4)
    with pytest.raises(ValueError, match=r"shapes \[2, 3\] and \[3, 3\]; expected equal ones"):
        Add(one, one, one).output_shape((2, 3), (3, 3))
    with pytest.raises(ValueError, match=r"shifts are given for \[2\] channels; the operands have 3"):
        Add(np.ones(2, int), one, one).output_shape((2, 3), (2, 3))
