"""Gain and bias per channel."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Affine


@writes(Affine)
def affine(operator: Affine, at: FloatLowering) -> FloatValue:
    """Write Mul and Add per channel."""
    graph = at.graph
    (x,) = at.inputs
    shift = operator.shift.astype(np.int32)
    gain = np.ldexp(operator.gain.astype(np.float64), at.tensor_exponent - x.tensor_exponent - shift).astype(
        np.float32
    )
    bias = np.ldexp(operator.bias.astype(np.float64), at.tensor_exponent - shift).astype(np.float32)
    return at.output(graph.op("Add", graph.op("Mul", x.read(graph), gain), bias))
