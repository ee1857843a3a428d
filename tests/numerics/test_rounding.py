from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics.rounding import (
    bit_length,
    clamp_range,
    int_range,
    saturate,
    shift_range,
    shift_round,
    signed_bits,
    storage_dtype,
)


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def test_shift_round_exhaustively():
    x = np.arange(-300, 301)
    for shift in range(-6, 12):
        expected = [half_up(Fraction(int(v)) / Fraction(2) ** shift) for v in x]
        assert shift_round(x, shift).tolist() == expected


@given(st.integers(-(2**60), 2**60), st.integers(0, 62))
def test_shift_round_wide(x, shift):
    assert int(shift_round(x, shift)) == half_up(Fraction(x, 2**shift))


@given(st.integers(-(2**20), 2**20), st.integers(0, 40))
def test_negative_shift_multiplies(x, shift):
    assert int(shift_round(x, -shift)) == x << shift


def test_shift_round_broadcasts():
    out = shift_round(np.array([[5], [6]]), np.array([0, 1, 2]))
    assert out.tolist() == [[5, 3, 1], [6, 3, 2]]
    assert out.dtype == np.int64


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("signed", [True, False])
def test_saturation_and_dtypes(bits, signed):
    low, high = int_range(bits, signed)
    assert high - low == 2**bits - 1
    ends = np.array([low - 1, low, high, high + 1])
    assert saturate(ends, bits, signed).tolist() == [low, low, high, high]
    dtype = storage_dtype(bits, signed)
    assert np.iinfo(dtype).min <= low
    assert np.iinfo(dtype).max >= high


@pytest.mark.parametrize("bits", [0, 33, -1])
def test_widths_have_limits(bits):
    with pytest.raises(ValueError, match=rf"bits is {bits}; allowed are 1 to 32"):
        int_range(bits, True)


def test_signed_bits():
    for bits in range(1, 40):
        assert signed_bits(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) == bits
        assert signed_bits(0, 1 << (bits - 1)) == bits + 1
        assert signed_bits(-(1 << (bits - 1)) - 1, 0) == bits + 1


def test_bit_length_is_pythons():
    values = sorted({*range(1 << 12), *(m for k in range(62) for m in ((1 << k) - 1, 1 << k, (1 << k) + 1))})
    values = [v for v in values if v < 1 << 62]
    assert bit_length(np.array(values)).tolist() == [v.bit_length() for v in values]


@given(st.integers(-5000, 5000), st.integers(0, 5000), st.lists(st.integers(-4, 14), min_size=1, max_size=4))
def test_shift_range_contains_and_is_reached(low, width, shifts):
    x = np.array([low, low + width, low + width // 2])
    least, most = shift_range((low, low + width), np.array(shifts, np.int8))
    all_values = np.concatenate([shift_round(x, s) for s in shifts])
    assert least == all_values.min()
    assert most == all_values.max()


def test_clamp_range():
    assert clamp_range((-1000, 5), 8) == (-128, 5)
    assert clamp_range((200, 1000), 8) == (127, 127)
    assert clamp_range((-3, 300), 8, signed=False) == (0, 255)
