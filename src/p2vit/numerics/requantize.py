"""Re-quantization: reduce an accumulator to its output width by one rounding shift."""

from p2vit.numerics.rounding import IntArray, saturate, shift_round, storage_dtype


def requantize(x: IntArray, shift: IntArray | int, bits: int, signed: bool = True) -> IntArray:
    """Re-quantize an accumulator by a shift: round half up, then saturate.

    Args:
        x: int32 accumulators, any shape.
        shift: Right shift, ``output exponent − accumulator exponent``; broadcastable.
        bits: Output width.
        signed: Output signedness.

    Returns:
        Integers of the shape of ``x``, in the narrowest NumPy dtype for ``bits``. The error is at most half an output
        step, unless the value saturates.

    Source:
        P²-ViT, power-of-two re-quantization.
    """
    return saturate(shift_round(x, shift), bits, signed).astype(storage_dtype(bits, signed))
