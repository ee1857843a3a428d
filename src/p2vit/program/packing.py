"""How arrays lie in ``tensors.safetensors``: weights of up to 4 bits two per byte, everything else as it is.

Packed rows: weight [N, K] becomes uint8 [N, ⌈K/2⌉]. Byte j of a row holds input 2j in its low and input 2j +
1 in its high nibble, each as 4-bit two's complement. Where K is odd, the last high nibble is 0.
"""

import numpy as np

from p2vit.numerics.rounding import IntArray

#: Widest weight that is packed.
PACKED_BITS = 4


def pack_nibbles(weight: IntArray) -> IntArray:
    """Two 4-bit weights per byte.

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
    """The weights of :func:`pack_nibbles`.

    Args:
        packed: uint8 [N, ⌈K/2⌉].
        columns: K.

    Returns:
        int8 [N, K].

    Raises:
        ValueError: another dtype or shape, or padding that is not 0.
    """
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != (columns + 1) // 2:
        raise ValueError(
            f"packed weights are {packed.dtype} {list(packed.shape)}; "
            f"expected uint8 [outputs, {(columns + 1) // 2}] for {columns} inputs"
        )
    # One 16-bit word per byte, its low nibble in the low half; then each half is sign-extended.
    words = packed.astype("<u2")
    words |= words << 4
    words &= 0x0F0F
    nibbles = words.view(np.uint8)
    if columns % 2 and nibbles[:, -1].any():
        raise ValueError("the unused high nibble at the end of a packed row is not 0")
    nibbles ^= 8
    nibbles -= 8
    return nibbles[:, :columns].view(np.int8)
