import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.hdl.compile.layout import TensorLayout, column_parameters, pack_nibbles


@given(
    lines=st.integers(2, 9),
    rows=st.integers(1, 20),
    columns=st.integers(1, 7),
    size=st.sampled_from([1, 2, 4]),
    first=st.integers(0, 11),
    stack=st.integers(1, 3),
    extra=st.sampled_from([0, 5]),
    seed=st.integers(0, 99),
)
def test_what_is_encoded_is_decoded(lines, rows, columns, size, first, stack, extra, seed):
    layout = TensorLayout(3, rows, columns, size, lines, first, stack, extra)
    info = np.iinfo(f"i{size}")
    tensor = np.random.default_rng(seed).integers(info.min, info.max, (stack, rows, columns), endpoint=True)
    memory = np.zeros((3 + layout.words, lines), np.uint8)
    memory[3:] = layout.encode(tensor)
    assert (layout.decode(memory, signed=True) == tensor).all()


def test_a_word_holds_one_byte_of_every_line():
    layout = TensorLayout(0, 3, 2, 2, 2)
    memory = layout.encode(np.array([[[0x0102, 0x0304], [0x0506, 0x0708], [0x090A, 0x0B0C]]]))
    assert memory.tolist() == [[2, 6], [1, 5], [4, 8], [3, 7], [10, 0], [9, 0], [12, 0], [11, 0]]
    assert layout.at(1, 1) == 6


def test_nibbles_stand_low_first():
    assert pack_nibbles(np.array([[1, -1, 7]])).view(np.uint8).tolist() == [[0xF1, 0x07]]


@pytest.mark.parametrize("lines", [3, 8, 16])
def test_parameters_of_a_column_take_eight_bytes(lines):
    words = column_parameters(lines, bias=np.array([-2, 5]), shift=3, gain=-1, left_a=4, left_b=15)
    raw = words.reshape(2, -1)[:, :8].copy().view("<u8")[:, 0].tolist()
    assert raw[0] == (15 << 58) | (4 << 54) | (3 << 48) | (0xFFFF << 32) | 0xFFFFFFFE
    assert raw[1] & 0xFFFFFFFF == 5
