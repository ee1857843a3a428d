"""Residual add."""

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Add


@writes(Add)
def add(operator: Add, at: FloatLowering) -> FloatValue:
    """Write Add of real values."""
    a, b = at.inputs
    return at.output_real(at.graph.op("Add", a.real(at.graph), b.real(at.graph)))
