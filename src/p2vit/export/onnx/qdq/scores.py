"""Attention scores."""

import numpy as np

from p2vit.export.onnx.common.heads import heads_first
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Scores


@writes(Scores)
def scores(operator: Scores, at: FloatLowering) -> FloatValue:
    """Write MatMul of queries and keys. The softmax multiplies it by a power of two to get real scores."""
    graph = at.graph
    q, k = at.inputs
    heads, windows = operator.heads, operator.windows
    left = heads_first(graph, q.read(graph), q.spec.shape[0], heads, windows)
    right = heads_first(graph, k.read(graph), k.spec.shape[0], heads, windows, across=True)
    product = graph.op("MatMul", left, right)
    if operator.windows > 1:
        product = graph.op("Reshape", product, np.array([-1, *at.spec.shape]))
    return FloatValue(at.spec, product, q.tensor_exponent + k.tensor_exponent)
