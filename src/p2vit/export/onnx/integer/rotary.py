"""Rotary position embedding."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Rotary


@lowers(Rotary)
def rotary(operator: Rotary, at: Lowering) -> Value:
    """Two multiplications: by the cosines, and of the neighbour by the signed sines."""
    graph = at.graph
    (x,) = at.inputs
    tokens, channels = at.spec.shape
    pairs = np.array([-1, tokens, channels // 2, 2])
    # The neighbour of each channel, by position: (a, b) becomes (b, a).
    neighbour = graph.op("Gather", graph.op("Reshape", x.wide, pairs), np.array([1, 0]), axis=3)
    neighbour = graph.op("Reshape", neighbour, np.array([-1, tokens, channels]))
    cosine, sine = operator.tables(channels)
    factor = np.repeat(cosine, 2, axis=1).astype(np.int32)
    signed = np.stack([-sine, sine], axis=-1).reshape(tokens, channels).astype(np.int32)
    turned = graph.op("Add", graph.op("Mul", x.wide, factor), graph.op("Mul", neighbour, signed))
    most = -x.spec.limits[0] * int((np.abs(cosine) + np.abs(sine)).max())
    shift = operator.shift.astype(np.int64)
    return requantize(graph, at.spec, turned, -most, most, shift)
