"""Re-quantization of an accumulator: one rounding shift, then a clamp."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.integer.shifts import Int64, clamp, shift_round
from p2vit.export.onnx.integer.values import ZERO_POINT, Value
from p2vit.numerics.rounding import int_range
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
    if spec.bits <= 8:
        shifted, dtype = shift_round(graph, x, low, high, shift, bias, offset=ZERO_POINT)
        least, most = int_range(spec.bits, signed=True)
        clipped = clamp(graph, shifted, (least + ZERO_POINT, most + ZERO_POINT), dtype)
        return Value(graph, spec, lifted=clipped if dtype is np.int32 else graph.cast(clipped, np.int32))
    shifted, dtype = shift_round(graph, x, low, high, shift, bias)
    clipped = clamp(graph, shifted, int_range(spec.bits, signed=True), dtype)
    return Value(graph, spec, wide=clipped if dtype is np.int32 else graph.cast(clipped, np.int32))
