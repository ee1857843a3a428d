"""Words of the weight stream: parameters, tables and weights, in the order in which the array takes them."""

from collections.abc import Mapping

import numpy as np

from p2vit.numerics.rounding import IntArray


def packed_parameters(
    lines: int, channels: int, places: Mapping[str, tuple[int, int]], fields: Mapping[str, IntArray | int]
) -> IntArray:
    """Pack the parameters of channels by byte planes.

    Args:
        lines: Channels per group.
        channels: Number of channels; the last group is filled with zeros.
        places: Name → width and first bit.
        fields: Name → one number per channel, or one number for all.

    Returns:
        uint8 [groups, 8, lines]: byte of the parameters, channel of the group.
    """
    groups = -(-channels // lines)
    packed = np.zeros(groups * lines, np.uint64)
    for name, value in fields.items():
        width, at = places[name]
        wide = np.broadcast_to(np.asarray(value, np.int64), (channels,))
        low, high = -(1 << (width - 1)), 1 << width
        assert ((low <= wide) & (wide < high)).all(), f"{name} does not fit {width} bits"
        packed[:channels] |= (wide & ((1 << width) - 1)).astype(np.uint64) << np.uint64(at)
    raw = packed.astype("<u8").view(np.uint8).reshape(groups, lines, 8)
    return np.ascontiguousarray(raw.swapaxes(1, 2))


def packed_weights(lines: int, weight: IntArray) -> IntArray:
    """Pack a weight matrix into blocks, one word per output channel.

    Args:
        lines: Side of a block.
        weight: int8 [outputs, inputs].

    Returns:
        uint8 [groups, chunks, lines, lines]: output channel, input.
    """
    outputs, inputs = weight.shape
    groups, chunks = -(-outputs // lines), -(-inputs // lines)
    padded = np.zeros((groups * lines, chunks * lines), np.int8)
    padded[:outputs, :inputs] = weight
    blocks = padded.reshape(groups, lines, chunks, lines).swapaxes(1, 2)
    return np.ascontiguousarray(blocks).view(np.uint8)


def weight_stream(
    lines: int, parameters: IntArray, tables: IntArray | None = None, blocks: IntArray | None = None
) -> IntArray:
    """Join parameters, tables and blocks group by group.

    Args:
        lines: Bytes of a word.
        parameters: uint8 [groups, 8, lines].
        tables: int8 [groups, 256]; None if there is no table.
        blocks: uint8 [groups, chunks, lines, lines]; None if the blocks come from the memory of keys and values.

    Returns:
        uint8 [words, lines].
    """
    groups = len(parameters)
    parts = [parameters]
    if tables is not None:
        parts.append(np.ascontiguousarray(tables).view(np.uint8).reshape(groups, -1, lines))
    if blocks is not None:
        parts.append(blocks.reshape(groups, -1, lines))
    return np.concatenate(parts, axis=1).reshape(-1, lines)
