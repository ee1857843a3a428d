"""Re-quantization of an accumulator: one rounding shift, then a clamp."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.integer.shifts import FLOAT_LIMIT, Int64, clamp, constant_op, fence, shift_round
from p2vit.export.onnx.integer.values import ZERO_POINT, Value
from p2vit.numerics.rounding import INT32, Range, int_range
from p2vit.program.graph import TensorSpec


def requantize(
    graph: OnnxGraph, spec: TensorSpec, x: str, low: object, high: object, shift: Int64, bias: object = 0
) -> Value:
    """Write bias, rounding shift and saturation of an int32 accumulator; the result has 8 or 16 bits, signed.

    Args:
        graph: Graph to which nodes are added.
        spec: The program's tensor that results.
        x: Accumulator, int32.
        low: Proven smallest value of x.
        high: Proven largest value of x.
        shift: Right shifts, as in :func:`p2vit.export.onnx.integer.shifts.shift_round`.
        bias: Constant that is added to x first.
    """
    narrow = spec.bits <= 8
    limits, offset = int_range(spec.bits, signed=True), ZERO_POINT if narrow else 0
    arrays = [np.asarray(v, dtype=np.int64) for v in (low, high, shift, bias)]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    least, most, s, b = (np.broadcast_to(a, shape) for a in arrays)
    x, least, most, s, b = saturate_first(graph, x, (least, most, s, b), limits)
    shifted = shift_round(graph, x, least, most, s, b, offset=offset)
    clipped = clamp(graph, shifted, (limits[0] + offset, limits[1] + offset))
    return Value(graph, spec, lifted=clipped) if narrow else Value(graph, spec, wide=clipped)


def saturate_first(
    graph: OnnxGraph, x: str, at: tuple[Int64, Int64, Int64, Int64], limits: Range
) -> tuple[str, Int64, Int64, Int64, Int64]:
    """Clamp, before the shift, the channels that would leave int32 in it: those shifted to the left, or by 31.

    The clamp after the shift gives such a channel the same value, clamped before or not. Channels whose product stays
    within 2^24 are not clamped.

    Args:
        graph: Graph to which nodes are added.
        x: Accumulator, int32.
        at: Smallest and largest value of x, shift, and bias, in one shape.
        limits: Range of the result.

    Returns:
        The five arguments of :func:`p2vit.export.onnx.integer.shifts.shift_round`.
    """
    least, most, s, b = at
    # From 16 on, a left shift takes every integer but 0 beyond the limits.
    left = np.minimum(np.maximum(-s, 0), 16)
    reach = np.maximum(np.abs(least + b), np.abs(most + b))
    wide = (s <= 0) & (reach > FLOAT_LIMIT >> left)
    # 2^31 is no divisor in int32. Such a shift gives −1 below −2^30 and 0 from there, as one by 30 does without half.
    halved = s > 30
    if not (wide | halved).any():
        return x, least, most, s, b
    floor, ceiling = limits[0] >> left, -((-limits[1]) >> left)
    lowest = np.where(wide, np.clip(floor - b, *INT32), INT32[0])
    highest = np.where(wide, ceiling, np.where(halved, -1 << 30, INT32[1]))
    x = constant_op(graph, "Max", x, lowest, neutral=INT32[0])
    # A sum between the two keeps runtimes from fusing them into a float32 clamp.
    x = constant_op(graph, "Add", x, b) if b.any() else fence(graph, x)
    x = constant_op(graph, "Min", x, highest, neutral=INT32[1])
    floor = np.where(wide, floor, INT32[0])
    least, most = (np.clip(end + b, floor, highest) for end in (least, most))
    return x, least, most, np.clip(s, -16, 30), np.where(halved, 1 << 29, 0)
