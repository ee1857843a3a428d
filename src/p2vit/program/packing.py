"""Pack weights of up to 4 bits in ``tensors.safetensors``, two per byte. Other arrays are not packed.

A weight [N, K] becomes uint8 [N, ⌈K/2⌉]. Byte j of a row has input 2j in its low nibble and input 2j + 1 in its high
nibble, each as 4-bit two's complement. If K is odd, the last high nibble is 0.
"""

import numpy as np

from p2vit.numerics.rounding import IntArray

#: Largest width of a packed weight, bits.
PACKED_BITS = 4


def pack_nibbles(weight: IntArray) -> IntArray:
    """Pack two 4-bit weights per byte.

    Args:
        weight: int8 [N, K], every entry in −8..7.

    Returns:
        uint8 [N, ⌈K/2⌉].
    """
    rows, columns = weight.shape
    nibbles = np.zeros((rows, columns + columns % 2), dtype=np.uint8)
    nibbles[:, :columns] = weight.view(np.uint8) & 15
    return nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)


def unpack_nibbles(packed: IntArray, columns: int) -> IntArray:
    """Unpack the weights that `pack_nibbles` has packed.

    Args:
        packed: uint8 [N, ⌈K/2⌉].
        columns: K.

    Returns:
        int8 [N, K].

    Raises:
        ValueError: The dtype or the shape is wrong, or the padding is not 0.
    """
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != (columns + 1) // 2:
        raise ValueError(
            f"packed weights are {packed.dtype} {list(packed.shape)}; "
            f"expected uint8 [outputs, {(columns + 1) // 2}] for {columns} inputs"
        )
    # Expand each byte to a 16-bit word with one nibble per byte, and then sign-extend each nibble.
    words = packed.astype("<u2")
    words |= words << 4
    words &= 0x0F0F
    nibbles = words.view(np.uint8)
    if columns % 2 and nibbles[:, -1].any():
        raise ValueError("the unused high nibble at the end of a packed row is not 0")
    nibbles ^= 8
    nibbles -= 8
    return nibbles[:, :columns].view(np.int8)
