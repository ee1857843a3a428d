from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import AssembleTokens, Patchify, SelectToken, SumTokens
from p2vit.numerics.rounding import INT32


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_patchify_order_and_centre(rows, columns, patch, seed):
    pixels = (
        np.random.default_rng(seed).integers(0, 256, (2, rows * patch, columns * patch, 3)).astype(np.uint8)
    )
    out = Patchify(patch).compute(pixels)
    assert out.dtype == np.int8
    assert out.shape == (2, rows * columns, patch * patch * 3)
    for index in np.ndindex(2, rows, columns, patch, patch, 3):
        image, row, column, y, x, channel = index
        flat = (y * patch + x) * 3 + channel
        value = int(pixels[image, row * patch + y, column * patch + x, channel])
        assert out[image, row * columns + column, flat] == value - 128


def test_centring_is_one_inverted_bit():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    out = Patchify(1).compute(pixels).reshape(-1)
    assert np.array_equal(out.view(np.uint8), pixels.reshape(-1) ^ 128)
    assert Patchify(1).bounds((0, 255)).output == (out.min(), out.max()) == (-128, 127)


@given(st.integers(0, 3), st.sampled_from([8, 16]), st.integers(0, 2**32 - 1))
def test_assembled_tokens(prefix_count, bits, seed):
    rng = np.random.default_rng(seed)
    top, dtype = 1 << (bits - 1), np.dtype(f"int{bits}")
    prefix, position = (rng.integers(-top, top, (n, 4)).astype(dtype) for n in (prefix_count, 5))
    x = rng.integers(-top, top, (2, 5, 4)).astype(dtype)
    x[0], x[1, 0] = -top, top - 1
    operator = AssembleTokens(prefix, position, bits)
    out = operator.compute(x)
    assert out.dtype == dtype
    assert (out[:, :prefix_count] == prefix).all()
    expected = np.clip(x.astype(int) + position, -top, top - 1)
    assert np.array_equal(out[:, prefix_count:], expected)
    bounds = operator.bounds((-top, top - 1))
    assert bounds.output[0] <= out.min()
    assert out.max() <= bounds.output[1]
    low, high = bounds.intermediates["accumulator"]
    total = x.astype(int) + position
    assert low <= total.min()
    assert total.max() <= high
    assert operator.output_shape((5, 4)) == (prefix_count + 5, 4)


def test_select_token():
    x = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert np.array_equal(SelectToken(2).compute(x), x[:, 2:])
    assert SelectToken(2).output_shape((3, 4)) == (1, 4)
    assert SelectToken(0).bounds((-5, 9)).output == (-5, 9)


@given(
    st.integers(0, 3),
    st.integers(1, 9),
    st.integers(0, 30),
    st.sampled_from([8, 16]),
    st.integers(0, 2**32 - 1),
)
def test_sum_against_fractions(first, count, shift, bits, seed):
    x = np.random.default_rng(seed).integers(-32768, 32768, (2, 12, 3)).astype(np.int16)
    x[0] = -32768 if seed % 2 else 32767
    operator = SumTokens(first, count, np.array([shift]), bits)
    out = operator.compute(x)
    bounds = operator.bounds((-32768, 32767))
    low, high = bounds.intermediates["accumulator"]
    assert INT32[0] <= low
    assert high <= INT32[1]
    top = 1 << (bits - 1)
    for (image, _, c), got in np.ndenumerate(out):
        total = sum(int(v) for v in x[image, first : first + count, c])
        assert low <= total <= total + (1 << shift >> 1) <= high
        assert got == max(-top, min(top - 1, floor(Fraction(total, 1 << shift) + Fraction(1, 2))))
        assert bounds.output[0] <= got <= bounds.output[1]


def test_longest_sum_fits_int32():
    operator = SumTokens(0, 1 << 15, np.array([30]), 16)
    low, high = operator.bounds((-32768, 32767)).intermediates["accumulator"]
    assert INT32[0] <= low
    assert high <= INT32[1]
    out = operator.compute(np.full((1, 1 << 15, 1), -32768, np.int16))
    assert out.item() == -1


def test_refusals():
    with pytest.raises(ValueError, match="patch_size is 0; allowed are 1 and more"):
        Patchify(0)
    with pytest.raises(ValueError, match=r"pixels have shape \[9, 8, 3\]; .* multiples of 4"):
        Patchify(4).output_shape((9, 8, 3))
    prefix, position = np.zeros((1, 4), np.int16), np.zeros((5, 4), np.int16)
    with pytest.raises(ValueError, match="prefix has 4 channels, position 3"):
        AssembleTokens(prefix, position[:, :3])
    with pytest.raises(ValueError, match="prefix is int16; expected int8"):
        AssembleTokens(prefix, position, 8)
    with pytest.raises(ValueError, match=r"must be .tokens, channels."):
        AssembleTokens(prefix[0], position)
    with pytest.raises(ValueError, match=r"position has shape \(0, 4\)"):
        AssembleTokens(prefix, position[:0])
    with pytest.raises(ValueError, match=r"input has shape \[6, 4\]; the position embedding \[5, 4\]"):
        AssembleTokens(prefix, position).output_shape((6, 4))
    for index in (-1, 3):
        with pytest.raises(ValueError, match=rf"token {index} is not among the tokens of \[3, 4\]"):
            SelectToken(index).output_shape((3, 4))
    one = np.ones(1, int)
    with pytest.raises(ValueError, match="first is -1; allowed are 0 and more"):
        SumTokens(-1, 2, one)
    with pytest.raises(ValueError, match="count is 32769; allowed are 1 to 32768"):
        SumTokens(0, 32769, one)
    with pytest.raises(ValueError, match=r"shift leaves 0..30"):
        SumTokens(0, 2, 31 * one)
    with pytest.raises(ValueError, match=r"shift has shape \(0,\)"):
        SumTokens(0, 2, one[:0])
    with pytest.raises(ValueError, match=r"tokens 1..3 are not all among the tokens of \[3, 4\]"):
        SumTokens(1, 3, one).output_shape((3, 4))
    with pytest.raises(ValueError, match="shift is given for 2 channels; the input has 4"):
        SumTokens(0, 2, np.ones(2, int)).output_shape((3, 4))
