"""Linear layers."""

import numpy as np

from p2vit.export.onnx.integer.matmul import constant_product
from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import FLOAT_LIMIT, fence
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Linear


@lowers(Linear)
def linear(operator: Linear, at: Lowering) -> Value:
    """Write ``MatMulInteger``, and re-quantize; one Add covers the bias and the rounding constant."""
    graph = at.graph
    (x,) = at.inputs
    accumulator = constant_product(graph, x, operator.weight, at.products)
    bias = operator.bias.astype(np.int64)
    weight = operator.weight.astype(np.int64)
    ends = np.stack([weight * limit for limit in x.spec.limits])
    low, high = ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)
    half = (np.int64(1) << np.maximum(operator.shift.astype(np.int64), 0)) >> 1
    if max(int((high + bias + half).max()), -int((low + bias).min())) > FLOAT_LIMIT:
        accumulator = fence(graph, accumulator)
    if operator.output_bits == 32:
        return Value(graph, at.spec, wide=graph.op("Add", accumulator, operator.bias.astype(np.int32)))
    return requantize(graph, at.spec, accumulator, low, high, operator.shift.astype(np.int64), bias)
