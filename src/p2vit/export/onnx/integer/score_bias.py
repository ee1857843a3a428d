"""Bias and mask of window attention."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import ScoreBias


@lowers(ScoreBias)
def score_bias(operator: ScoreBias, at: Lowering) -> Value:
    """Write ``Add``, then ``Where`` with the mask, window by window."""
    graph = at.graph
    (scores,) = at.inputs
    heads, rows, keys = at.spec.shape
    windows = graph.op("Reshape", scores.wide, np.array([-1, heads, rows // keys, keys, keys]))
    total = graph.op("Add", windows, operator.bias.astype(np.int32)[:, None])
    if operator.mask is not None:
        total = graph.op("Where", operator.mask, operator.masked.astype(np.int32)[:, None, None, None], total)
    return Value(graph, at.spec, wide=graph.op("Reshape", total, np.array([-1, *at.spec.shape])))
