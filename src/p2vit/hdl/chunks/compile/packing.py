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


def packed_weights(lines: int, weight: IntArray, pairs: bool = False) -> IntArray:
    """Pack a weight matrix into blocks, one word per output channel.

    Args:
        lines: Side of a block.
        weight: int8 [outputs, inputs].
        pairs: Whether a byte holds the 4-bit weights of two groups of channels, the first in the low half.

    Returns:
        uint8 [groups or pairs of groups, chunks, lines, lines]: output channel, input.
    """
    outputs, inputs = weight.shape
    side = 2 * lines if pairs else lines
    groups, chunks = -(-outputs // side), -(-inputs // lines)
    padded = np.zeros((groups * side, chunks * lines), np.int8)
    padded[:outputs, :inputs] = weight
    blocks = padded.reshape(groups, -1, lines, chunks, lines).swapaxes(2, 3).view(np.uint8)
    if pairs:
        return np.ascontiguousarray(blocks[:, 0] & 15 | blocks[:, 1] << 4)
    return np.ascontiguousarray(blocks[:, 0])


def weight_stream(
    lines: int,
    parameters: IntArray,
    tables: IntArray | None = None,
    blocks: IntArray | None = None,
    pairs: bool = False,
) -> IntArray:
    """Join parameters, tables and blocks in the order in which the feed takes them.

    The parameters and the table of a group follow its first block. With pairs of groups, those of the second group
    follow the last block.

    Args:
        lines: Bytes of a word.
        parameters: uint8 [groups, 8, lines].
        tables: int8 [groups, 256]; None if there is no table.
        blocks: uint8 [groups, chunks, lines, lines]; None if the blocks come from the memory of keys and values.
        pairs: Whether blocks hold the weights of two groups.

    Returns:
        uint8 [words, lines].
    """
    of_group = [parameters[group] for group in range(len(parameters))]
    if tables is not None:
        rows = np.ascontiguousarray(tables).view(np.uint8).reshape(len(tables), -1, lines)
        of_group = [np.concatenate(both) for both in zip(of_group, rows, strict=True)]
    parts, each = [], 2 if pairs else 1
    for number, first in enumerate(range(0, len(of_group), each)):
        own = blocks[number] if blocks is not None else np.zeros((0, lines, lines), np.uint8)
        parts += [own[:1].reshape(-1, lines), of_group[first], own[1:].reshape(-1, lines)]
        parts += of_group[first + 1 : first + each]
    return np.concatenate(parts)
