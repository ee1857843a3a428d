"""Scores of attention."""

import numpy as np

from p2vit.export.onnx.qdq.heads import heads_first
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Scores


@writes(Scores)
def scores(operator: Scores, at: FloatLowering) -> FloatValue:
    """MatMul of queries and keys; the softmax scales it to real scores by a power of two."""
    graph = at.graph
    q, k = at.inputs
    left = heads_first(at, q, operator.heads, operator.windows)
    right = heads_first(at, k, operator.heads, operator.windows, across=True)
    product = graph.op("MatMul", left, right)
    if operator.windows > 1:
        product = graph.op("Reshape", product, np.array([-1, *at.spec.shape]))
    return FloatValue(at.spec, product, q.gauge + k.gauge)
