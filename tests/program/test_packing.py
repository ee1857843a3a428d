import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.program.packing import pack_nibbles, unpack_nibbles


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_packing_is_undone(rows, columns, seed):
    weight = np.random.default_rng(seed).integers(-8, 8, (rows, columns)).astype(np.int8)
    packed = pack_nibbles(weight)
    assert packed.dtype == np.uint8
    assert packed.shape == (rows, (columns + 1) // 2)
    assert np.array_equal(unpack_nibbles(packed, columns), weight)


def test_layout_is_low_nibble_first():
    packed = pack_nibbles(np.array([[1, -1, -8]], np.int8))
    assert packed.tolist() == [[0xF1, 0x08]]


def test_every_byte_unpacks():
    every = np.arange(256, dtype=np.uint8).reshape(1, 256)
    assert np.array_equal(pack_nibbles(unpack_nibbles(every, 512)), every)


def test_padding_must_be_zero():
    with pytest.raises(ValueError, match="unused high nibble"):
        unpack_nibbles(np.array([[0x18]], np.uint8), 1)


@pytest.mark.parametrize(
    "packed", [np.zeros((1, 2), np.int8), np.zeros((1, 3), np.uint8), np.zeros(2, np.uint8)]
)
def test_another_shape_or_dtype_is_refused(packed):
    with pytest.raises(ValueError, match=r"expected uint8 \[outputs, 2\] for 4 inputs"):
        unpack_nibbles(packed, 4)
