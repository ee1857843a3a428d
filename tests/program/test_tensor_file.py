"""The reader of safetensors against the safetensors package: what ours takes, theirs takes with the same
numbers; what it refuses, it names.
"""

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from p2vit.program.format import encode
from p2vit.program.tensor_file import DTYPES, read_tensors
from support.forging import SMALL
from support.programs import random_program


def equal(found: dict, expected: dict) -> bool:
    return set(found) == set(expected) and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and found[name].tobytes() == array.tobytes()
        for name, array in expected.items()
    )


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES.values())), st.lists(st.integers(0, 4), max_size=4)),
        max_size=5,
    ),
    st.integers(0, 9),
)
def test_files_of_the_package(kinds, seed):
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.integers(0, 2, shape).astype(dtype) if shape else np.array(1, dtype)
        for name, (dtype, shape) in kinds.items()
    }
    content = safetensors.numpy.save(arrays)
    assert equal(read_tensors(content), arrays)
    assert equal(safetensors.numpy.load(content), arrays)


def test_nothing_is_copied_and_nothing_can_be_changed():
    content = safetensors.numpy.save({"a": np.arange(6, dtype=np.int32).reshape(2, 3)})
    array = read_tensors(content)["a"]
    assert np.shares_memory(array, np.frombuffer(content, np.uint8))
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_texts_about_the_file_are_passed_over():
    content = safetensors.numpy.save({"a": np.zeros(1, np.int8)}, metadata={"made": "elsewhere"})
    assert set(read_tensors(content)) == {"a"}


def made(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_arrays_at_odd_places_are_copied():
    header = {
        "b": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]},
        "w": {"dtype": "I32", "shape": [1], "data_offsets": [1, 5]},
    }
    found = read_tensors(made(header, b"\x07\x01\x00\x00\x00"))
    assert (found["b"].tolist(), found["w"].tolist()) == ([7], [1])
    assert all(array.flags.aligned for array in found.values())


def entry(**changes: object) -> dict:
    return {"a": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2], **changes}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header is cut off"),
        (b"\x00" * 7, "its header is cut off"),
        (b"\xff" * 8 + b"{}", "its header is cut off"),
        (made(entry(), b"ab")[:20], "its header is cut off"),
        (made([], b""), "no JSON object"),
        (made(b"[" * 100_000, b""), "no JSON object"),
        (made(b"{", b""), "Expecting"),
        (made(b"\xff\xfe", b""), "utf-8"),
        (made(b'{"a": 1, "a": 1}', b""), "occurs twice"),
        (made({"a": 1}, b""), "'a' is not described by"),
        (made(entry(more=1), b"ab"), "'a' is not described by"),
        (made(entry(dtype="BF16"), b"ab"), "has dtype 'BF16'; known are BOOL"),
        (made(entry(dtype=["I8"]), b"ab"), "has dtype"),
        (made(entry(shape=[-2]), b"ab"), "must be lists of sizes"),
        (made(entry(shape=[True]), b"ab"), "must be lists of sizes"),
        (made(entry(shape=2), b"ab"), "must be lists of sizes"),
        (made(entry(shape=[1] * 40), b"ab"), "at most 16 sides"),
        (made(entry(data_offsets=[0, 2, 2]), b"ab"), "two data_offsets"),
        (made(entry(data_offsets=[0, 1.5]), b"ab"), "must be lists of sizes"),
        (made(entry(data_offsets=[1, 3]), b"abc"), "'a' begins at 1; expected 0"),
        (made(entry(data_offsets=[2, 0]), b"ab"), "'a' begins at 2; expected 0"),
        (made(entry(shape=[3]), b"ab"), r"'a' fills 2 bytes; int8 \[3\] needs 3"),
        (made(entry(shape=[1 << 62, 4]), b"ab"), "'a' fills 2 bytes"),
        (made(entry(), b"a"), "'a' ends beyond the file"),
        (made(entry(), b"abc"), "1 bytes belong to no array"),
        (made({}, b"abc"), "3 bytes belong to no array"),
    ],
)
def test_refusals(content, message):
    with pytest.raises(ValueError, match=message):
        read_tensors(content)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_damaged_headers(seed):
    """Whatever is taken is what the package takes."""
    rng = np.random.default_rng(seed)
    content = bytearray(encode(random_program(**SMALL))[1])
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(header))] ^= 1 << int(rng.integers(8))
    try:
        found = read_tensors(bytes(content))
    except ValueError:
        return
    assert equal(found, safetensors.numpy.load(bytes(content)))
