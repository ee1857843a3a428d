"""Rotary position embedding."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Rotary
from p2vit.numerics.rotary import FRACTION


@writes(Rotary)
def rotary(operator: Rotary, at: FloatLowering) -> FloatValue:
    """Two multiplications of real values: by the cosines, and of the neighbour by the signed sines."""
    graph = at.graph
    (x,) = at.inputs
    tokens, channels = at.spec.shape
    real = x.real(graph)
    pairs = graph.op("Reshape", real, np.array([-1, tokens, channels // 2, 2]))
    neighbour = graph.op("Gather", pairs, np.array([1, 0]), axis=3)
    neighbour = graph.op("Reshape", neighbour, np.array([-1, tokens, channels]))
    cosine, sine = (np.ldexp(table.astype(np.float32), -FRACTION) for table in operator.tables(channels))
    factor = np.repeat(cosine, 2, axis=1)
    signed = np.stack([-sine, sine], axis=-1).reshape(tokens, channels)
    return at.output_real(graph.op("Add", graph.op("Mul", real, factor), graph.op("Mul", neighbour, signed)))
