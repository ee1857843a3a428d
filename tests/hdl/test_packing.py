import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import signed, unsigned

from p2vit.hdl.packing import from_storage, pack, size_of, to_storage, unpack
from p2vit.hdl.stream import lanes, payload
from p2vit.hdl.tools.missing import RtlError

LAYOUT = payload(a=lanes(signed(13), 5), flag=1, wide=signed(48), b=unsigned(31))


def test_what_is_packed_is_unpacked():
    rng = np.random.default_rng(0)
    values = {
        "a": rng.integers(-(1 << 12), 1 << 12, (9, 5)),
        "flag": rng.integers(0, 2, 9),
        "wide": rng.integers(-(1 << 47), 1 << 47, 9),
        "b": rng.integers(0, 1 << 31, 9),
    }
    words = pack(LAYOUT, values)
    assert words.shape == (9, 5)
    bits = size_of(LAYOUT)
    found = unpack(LAYOUT, from_storage(to_storage(words, bits), bits))
    for name, value in values.items():
        assert (found[name] == value).all(), name


@pytest.mark.parametrize("bits", [1, 8, 9, 16, 17, 32, 33, 64, 65])
def test_storage_is_as_wide_as_verilators(bits):
    layout = payload(x=unsigned(min(bits, 60)), y=unsigned(max(bits - 60, 0)))
    words = pack(layout, {"x": np.array([1, 0])})
    raw = to_storage(words, bits)
    assert raw.shape == (2, next(size for size in (1, 2, 4, 8, 12) if bits <= 8 * size))
    assert raw[0, 0] == 1
    assert (from_storage(raw, bits) == words).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"c": [1]}, "no field 'c' in the payload; it has a, flag, wide, b"),
        ({"flag": [2]}, "field 'flag' spans 2..2; it holds 0..1"),
        ({"a": [[5000] * 5]}, "field 'a' spans 5000..5000; it holds -4096..4095"),
        ({"a": [[1, 2]]}, "field 'a' has 2 numbers per beat; expected 5"),
        ({"flag": [1, 0], "b": [1]}, r"fields have \[1, 2\] beats; expected one number"),
    ],
)
def test_what_does_not_fit_is_refused(values, message):
    with pytest.raises(RtlError, match=message):
        pack(LAYOUT, values)
