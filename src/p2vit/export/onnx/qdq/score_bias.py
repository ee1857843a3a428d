"""Bias and mask of window attention."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import ScoreBias


@writes(ScoreBias)
def score_bias(operator: ScoreBias, at: FloatLowering) -> FloatValue:
    """Write Add, then Where with the mask, window by window."""
    graph = at.graph
    (x,) = at.inputs
    heads, rows, keys = at.spec.shape
    windows = graph.op("Reshape", x.read(graph), np.array([-1, heads, rows // keys, keys, keys]))
    bias = np.ldexp(operator.bias.astype(np.float32), x.tensor_exponent)[:, None]
    total = graph.op("Add", windows, bias)
    if operator.mask is not None:
        masked = np.ldexp(operator.masked.astype(np.float32), x.tensor_exponent)[:, None, None, None]
        total = graph.op("Where", operator.mask, masked, total)
    return FloatValue(at.spec, graph.op("Reshape", total, np.array([-1, *at.spec.shape])), x.tensor_exponent)
