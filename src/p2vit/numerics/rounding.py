"""The one rounding rule, saturation, and integer ranges.

Every shift in every back-end rounds half up: ``(x + 2^(s-1)) >> s``, that is ``floor(x / 2^s + 1/2)``. It
costs one adder in hardware and one instruction on a CPU.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer[Any]]


Range = tuple[int, int]


INT32: Range = (-(1 << 31), (1 << 31) - 1)


MAX_SHIFT = 62


def int_range(bits: int, signed: bool) -> Range:
    """Return the smallest and the largest integer of a width.

    Args:
        bits: Width, 1 to 32.
        signed: Whether the integers are in two's complement.

    Raises:
        ValueError: The width is not in 1..32.
    """
    if not 1 <= bits <= 32:
        raise ValueError(f"bits is {bits}; allowed are 1 to 32")
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def signed_bits(low: int, high: int) -> int:
    """Return the width in bits of the narrowest two's complement integer for ``low`` and ``high``."""
    return 1 + max(int(high).bit_length(), int(~low if low < 0 else low).bit_length())


def bit_length(x: IntArray) -> NDArray[np.int64]:
    """Return the number of bits of each non-negative integer, 0 for 0. Hardware uses a leading-one detector.

    Args:
        x: Any shape, 0 ≤ x < 2^62.

    Returns:
        int64, the shape of ``x``.
    """
    rest = np.asarray(x, dtype=np.int64)
    bits = np.zeros(rest.shape, dtype=np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = rest >= (np.int64(1) << step)
        bits += np.where(high, step, 0)
        rest = np.where(high, rest >> step, rest)
    return bits + rest


def shift_round(x: IntArray | int, shift: IntArray | int) -> NDArray[np.int64]:
    """Compute ``x · 2^-shift``, rounded half up. A negative shift multiplies by a power of two.

    Args:
        x: Any shape, |x| < 2^61; for a negative ``shift``, |x| · 2^-shift < 2^61.
        shift: −62..62, broadcastable to ``x``.

    Returns:
        int64, the broadcast shape. Exact for shift ≤ 0; otherwise the error is at most 1/2.
    """
    wide = np.asarray(x, dtype=np.int64)
    s = np.asarray(shift, dtype=np.int64)
    right = np.clip(s, 0, MAX_SHIFT)
    left = np.clip(-s, 0, MAX_SHIFT)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return ((wide << left) + half) >> right


def saturate(x: IntArray | int, bits: int, signed: bool = True) -> NDArray[np.int64]:
    """Clamp to the range of a width. The result is int64 and has the shape of ``x``."""
    low, high = int_range(bits, signed)
    return np.clip(np.asarray(x, dtype=np.int64), low, high)


def storage_dtype(bits: int, signed: bool) -> np.dtype:
    """Return the narrowest NumPy integer dtype for a width. Values of up to 8 bits take one byte."""
    width = 8 if bits <= 8 else 16 if bits <= 16 else 32
    return np.dtype(f"{'int' if signed else 'uint'}{width}")


def shift_range(limits: Range, shift: IntArray | int) -> Range:
    """Return the smallest and the largest result of `shift_round` for values in ``limits``."""
    s = np.unique(np.asarray(shift, dtype=np.int64))
    ends = [int(v) for end in limits for v in np.atleast_1d(shift_round(end, s))]
    return min(ends), max(ends)


def clamp_range(limits: Range, bits: int, signed: bool = True) -> Range:
    """Return the range of the results of `saturate` for values in ``limits``."""
    low, high = int_range(bits, signed)
    return max(low, min(high, limits[0])), min(high, max(low, limits[1]))
