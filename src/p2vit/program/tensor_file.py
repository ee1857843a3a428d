"""Read ``tensors.safetensors`` without copying the arrays.

The safetensors package copies every array, which doubles the memory and the load time of a large program. The format
is short (https://huggingface.co/docs/safetensors, "Format"): the length of the header in 8 bytes, little-endian; the
header, a JSON object of name → dtype, shape and position; the arrays one after the other, without gaps. Every part is
checked.
"""

import json
from math import prod
from typing import Any

import numpy as np

#: dtype in the file → dtype in NumPy. A program uses only some of the integer dtypes.
DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
MAX_HEADER_BYTES = 100 << 20
#: Key of the header that is not an array, but texts about the file.
METADATA = "__metadata__"


def read_tensors(content: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file.

    Args:
        content: Content of the file.

    Returns:
        Name → array: a read-only view of ``content``, or a copy if the array is not aligned.

    Raises:
        ValueError: The file is damaged. The message says what is wrong.
    """
    arrays = {}
    data = 8 + int.from_bytes(content[:8], "little")
    place = data
    for begin, end, name, dtype, shape in sorted(_entries(content)):
        if begin + data != place:
            raise ValueError(
                f"array {name!r} begins at {begin}; expected {place - data}, where the one before ends"
            )
        count = prod(shape)
        size = count * dtype.itemsize
        if end - begin != size:
            raise ValueError(f"array {name!r} fills {end - begin} bytes; {dtype} {shape} needs {size}")
        place += end - begin
        if place > len(content):
            raise ValueError(f"array {name!r} ends beyond the file")
        array = np.frombuffer(content, dtype, count, data + begin).reshape(shape)
        arrays[name] = array if array.flags.aligned else array.copy()
    if place != len(content):
        raise ValueError(f"{len(content) - place} bytes belong to no array")
    return arrays


def _entries(content: bytes) -> list[tuple[int, int, str, np.dtype, list[int]]]:
    """Read the header: (begin, end, name, dtype, shape) of every array, in bytes after the header.

    Raises:
        ValueError: The header is damaged.
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > MAX_HEADER_BYTES or size > len(content) - 8:
        raise ValueError("its header is cut off")
    try:
        header = json.loads(content[8 : 8 + size].decode(), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its header is no JSON object") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop(METADATA, None)
    return [_entry(name, record) for name, record in header.items()]


def _entry(name: str, record: Any) -> tuple[int, int, str, np.dtype, list[int]]:
    """Read one array's entry of the header.

    Raises:
        ValueError: A key is missing, unknown or has a wrong value.
    """
    if not isinstance(record, dict) or set(record) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"array {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"array {name!r} has dtype {dtype!r}; known are {', '.join(DTYPES)}")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
            raise ValueError(f"array {name!r}: its shape and data_offsets must be lists of sizes")
    if len(offsets) != 2 or len(shape) > 16:
        raise ValueError(f"array {name!r}: there are two data_offsets and at most 16 sides")
    return offsets[0], offsets[1], name, np.dtype(DTYPES[dtype]), shape


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, and refuse duplicate keys.

    Raises:
        ValueError: A key occurs twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in its header")
    return found
