from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Multiply
from support.exact import half_up


@given(
    st.lists(st.tuples(st.integers(-32768, 32767), st.integers(0, 30)), min_size=1, max_size=5),
    st.sampled_from([8, 16]),
    st.sampled_from([(-128, 127), (-5, 90)]),
    st.sampled_from([(-32768, 32767), (-128, 127), (3, 7)]),
)
def test_multiply_against_fractions(parameters, bits, gates, linears):
    offset, shift = (np.array(column) for column in zip(*parameters, strict=True))
    operator = Multiply(offset, shift, bits)
    bounds = operator.bounds(gates, linears)
    low, high = bounds.intermediates["accumulator"]
    for a in gates:
        for b in linears:
            size = (1, 1, len(offset))
            got = operator.compute(np.full(size, a, np.int8), np.full(size, b, np.int16))[0, 0]
            assert got.dtype == np.dtype(f"int{bits}")
            for value, left_out, by in zip(got, offset.tolist(), shift.tolist(), strict=True):
                product = (a + left_out) * b
                assert value == half_up(Fraction(product, 1 << by), bits)
                assert low <= product <= product + ((1 << by) >> 1) <= high
                assert bounds.output[0] <= value <= bounds.output[1]


def test_the_worst_case_fits_int32():
    bounds = Multiply(np.array([-32768]), np.array([30]), 16).bounds((-128, 127), (-32768, 32767))
    low, high = bounds.intermediates["accumulator"]
    assert -(1 << 31) <= low <= high < 1 << 31


def test_refusals():
    one = np.ones(2, int)
    with pytest.raises(ValueError, match=r"offset has shape \(0,\)"):
        Multiply(one[:0], one)
    with pytest.raises(ValueError, match=r"shift leaves 0..30"):
        Multiply(one, -one)
    with pytest.raises(ValueError, match="output_bits is 32; allowed are 8 and 16"):
        Multiply(one, one, 32)
    with pytest.raises(ValueError, match=r"shapes \[3, 2\] and \[2, 2\]; expected equal ones"):
        Multiply(one, one).output_shape((3, 2), (2, 2))
    with pytest.raises(ValueError, match=r"parameters are given for \[2\] channels; the operands have 3"):
        Multiply(one, one).output_shape((3, 3), (3, 3))
