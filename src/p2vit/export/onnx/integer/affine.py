"""Gain and bias per channel."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import compact
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Affine


@lowers(Affine)
def affine(operator: Affine, at: Lowering) -> Value:
    """Write the product with the gain, then bias, shift and saturation."""
    graph = at.graph
    (x,) = at.inputs
    gain = operator.gain.astype(np.int64)
    ends = np.stack([gain * limit for limit in x.spec.limits])
    product = graph.op("Mul", x.wide, compact(gain))
    shift, bias = operator.shift.astype(np.int64), operator.bias.astype(np.int64)
    return requantize(graph, at.spec, product, ends.min(axis=0), ends.max(axis=0), shift, bias)
