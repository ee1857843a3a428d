from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Add, Affine, Lookup
from p2vit.numerics.rounding import INT32, int_range


def half_up(value: Fraction, bits: int) -> int:
    low, high = int_range(bits, True)
    return max(low, min(high, floor(value + Fraction(1, 2))))


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
    with pytest.raises(ValueError, match=r"table has shape \(1, 255\); expected \(groups, 256\)"):
        Lookup(np.zeros((1, 255), int))
    with pytest.raises(ValueError, match="its channels must be a multiple of the 3 tables"):
        Lookup(np.zeros((3, 256), int)).output_shape((5, 8))
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
