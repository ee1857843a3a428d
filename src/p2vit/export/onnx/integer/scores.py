"""Attention scores."""

import numpy as np

from p2vit.export.onnx.common.heads import heads_first
from p2vit.export.onnx.integer.matmul import product, right_operand
from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Scores


@lowers(Scores)
def scores(operator: Scores, at: Lowering) -> Value:
    """Write one batched ``MatMulInteger``; its int32 accumulator is the result."""
    q, k = at.inputs
    left = heads_first(at.graph, q.biased, q.spec.shape[0], operator.heads, operator.windows)
    keys = right_operand(k, at.products)
    right = heads_first(at.graph, keys, k.spec.shape[0], operator.heads, operator.windows, across=True)
    result = product(at.graph, left, q.zero_point, right, q.spec.shape[1] // operator.heads, at.products)
    if operator.windows > 1:
        result = at.graph.op("Reshape", result, np.array([-1, *at.spec.shape]))
    return Value(at.graph, at.spec, wide=result)
