"""Product of two tensors."""

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Multiply


@writes(Multiply)
def multiply(operator: Multiply, at: FloatLowering) -> FloatValue:
    """Mul of real values."""
    a, b = at.inputs
    return at.output_real(at.graph.op("Mul", a.real(at.graph), b.real(at.graph)))
