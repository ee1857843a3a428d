"""Re-quantization: an accumulator brought to its output width by one rounding shift."""

from p2vit.numerics.rounding import IntArray, saturate, shift_round, storage_dtype


def requantize(x: IntArray, shift: IntArray | int, bits: int, signed: bool = True) -> IntArray:
    """Re-quantize an accumulator by a shift: round half up, then saturate (P²-ViT, figure PoT).

    Args:
        x: int32 accumulators, any shape.
        shift: Right shift, ``output exponent − accumulator exponent``; broadcastable.
        bits: Output width.
        signed: Output signedness.

    Returns:
        The shape of ``x``, in the narrowest NumPy dtype for ``bits``. The error is at most half an output
        step, unless the value saturates.
    """
    return saturate(shift_round(x, shift), bits, signed).astype(storage_dtype(bits, signed))
