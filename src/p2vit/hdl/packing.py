"""Converts integer arrays to the packed bits of stream payloads, and back."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from numpy.typing import NDArray

from p2vit.hdl.tools.missing import RtlError

Words = NDArray[np.uint32]


def leaves(
    layout: Any, path: tuple[Any, ...] = (), offset: int = 0
) -> Iterator[tuple[tuple[Any, ...], int, int, bool]]:
    """Yield the scalars of a payload: (path, offset, width, signed), lowest bits first."""
    if isinstance(layout, data.Layout):
        for key, field in layout:
            yield from leaves(field.shape, (*path, key), offset + field.offset)
    else:
        shape = Shape.cast(layout)
        yield path, offset, shape.width, shape.signed


def fields_of(layout: Any) -> dict[str, list[tuple[int, int, bool]]]:
    """Return the fields of a struct: name → (offset, width, signed) of each of its scalars, in order."""
    found: dict[str, list[tuple[int, int, bool]]] = {}
    for path, offset, width, is_signed in leaves(layout):
        found.setdefault(str(path[0]), []).append((offset, width, is_signed))
    return found


def size_of(layout: Any) -> int:
    """Return the width of a payload in bits."""
    return int(Shape.cast(layout).width)


def pack(layout: Any, values: Mapping[str, Any]) -> Words:
    """Pack beats.

    Args:
        layout: Struct of the payload.
        values: Field → integers [beats], or [beats, ...] with as many scalars per beat as the field has. A missing
            field is 0.

    Returns:
        uint32 [beats, ⌈bits/32⌉], lowest word first.

    Raises:
        RtlError: A field is unknown, the number of scalars is wrong, or an integer is out of its field's range.
    """
    fields = fields_of(layout)
    if unknown := set(values) - set(fields):
        raise RtlError(f"no field {sorted(unknown)[0]!r} in the payload; it has {', '.join(fields)}")
    arrays = {name: np.asarray(value) for name, value in values.items()}
    beats = {len(value) for value in arrays.values()}
    if len(beats) != 1:
        raise RtlError(f"fields have {sorted(beats)} beats; expected one number")
    count = beats.pop()
    words = np.zeros((count, max(1, -(-size_of(layout) // 32))), dtype=np.uint32)
    for name, array in arrays.items():
        scalars = fields[name]
        flat = array.reshape(count, -1).astype(np.int64) if count else np.zeros((0, len(scalars)), np.int64)
        if flat.shape[1] != len(scalars):
            raise RtlError(f"field {name!r} has {flat.shape[1]} numbers per beat; expected {len(scalars)}")
        for column, (offset, width, is_signed) in enumerate(scalars):
            _place(words, flat[:, column], offset, width, is_signed, name)
    return words


def _place(
    words: Words, values: NDArray[np.int64], offset: int, width: int, is_signed: bool, name: str
) -> None:
    """Write one scalar of every beat into its bits, which must be 0."""
    if not len(values) or not width:
        return
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if is_signed else (0, (1 << width) - 1)
    if int(values.min()) < low or int(values.max()) > high:
        raise RtlError(f"field {name!r} spans {values.min()}..{values.max()}; it holds {low}..{high}")
    mask = np.uint64((1 << width) - 1)
    bits = values.astype(np.uint64) & mask
    word, shift = divmod(offset, 32)
    words[:, word] |= ((bits << np.uint64(shift)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    placed = 32 - shift
    while placed < width:
        word += 1
        words[:, word] |= ((bits >> np.uint64(placed)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        placed += 32


def unpack(layout: Any, words: Words) -> dict[str, NDArray[np.int64]]:
    """Unpack beats.

    Args:
        layout: Struct of the payload.
        words: Packed beats, uint32 [beats, ⌈bits/32⌉].

    Returns:
        Field → int64 [beats] for a scalar field, [beats, n] for a field of several scalars.
    """
    wide = np.concatenate([words.astype(np.uint64), np.zeros((len(words), 2), np.uint64)], axis=1)
    result = {}
    for name, scalars in fields_of(layout).items():
        columns = []
        for offset, width, is_signed in scalars:
            word, shift = divmod(offset, 32)
            bits = wide[:, word] >> np.uint64(shift)
            placed = 32 - shift
            while placed < width:
                word += 1
                bits = bits | (wide[:, word] << np.uint64(placed))
                placed += 32
            unused = np.int64(64 - width)
            left = (bits << np.uint64(unused)).view(np.int64)
            columns.append(
                left >> unused if is_signed else (left.view(np.uint64) >> np.uint64(unused)).view(np.int64)
            )
        result[name] = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
    return result


def to_storage(words: Words, bits: int) -> NDArray[np.uint8]:
    """Convert words to Verilator's storage of a port: 1, 2, 4 or 8 bytes, or a multiple of 4 bytes."""
    size = storage_bytes(bits)
    raw = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    if raw.shape[1] < size:
        raw = np.concatenate([raw, np.zeros((len(raw), size - raw.shape[1]), np.uint8)], axis=1)
    return np.ascontiguousarray(raw[:, :size])


def from_storage(raw: NDArray[np.uint8], bits: int) -> Words:
    """Convert Verilator's storage of a port to words; the inverse of :func:`to_storage`."""
    size = 4 * max(1, -(-bits // 32))
    if raw.shape[1] < size:
        raw = np.concatenate([raw, np.zeros((len(raw), size - raw.shape[1]), np.uint8)], axis=1)
    return np.ascontiguousarray(raw[:, :size]).view(np.uint32)


def storage_bytes(bits: int) -> int:
    """Return the number of bytes in which Verilator stores a port of that width."""
    for size in (1, 2, 4, 8):
        if bits <= 8 * size:
            return size
    return 4 * -(-bits // 32)
