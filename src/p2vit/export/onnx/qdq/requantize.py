"""Re-quantization as a QuantizeLinear/DequantizeLinear pair."""

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.qdq.values import FloatValue, QdqForm, tensor_exponent_of, tensor_offset_of, power
from p2vit.numerics.rounding import int_range
from p2vit.program.graph import TensorSpec


def quantized(graph: OnnxGraph, spec: TensorSpec, x: str, form: QdqForm) -> FloatValue:
    """A tensor that was just computed in its tensor_exponent: quantized if it has 8 bits, as it is if it has more.

    Args:
        graph: Where the nodes go.
        spec: The program's tensor.
        x: ONNX tensor in the tensor_exponent of ``spec``.
        form: What the model is to look like.

    Raises:
        P2vitError: an offset that no 8-bit zero point can hold.
    """
    tensor_exponent = tensor_exponent_of(spec)
    if spec.bits > 8 or not form.quantize:
        return FloatValue(spec, x, tensor_exponent)
    signed = spec.signed and form.activations == "int8"
    low, high = int_range(8, signed)
    offset = tensor_offset_of(spec)
    point = -offset + (128 if spec.signed and not signed else 0)
    if not low <= point <= high:
        raise P2vitError(
            f"tensor {spec.name}: offset {offset} gives zero point {point}; allowed are {low} to {high}"
        )
    zero = np.int8(point) if signed else np.uint8(point)
    return FloatValue(spec, graph.op("QuantizeLinear", x, power(tensor_exponent), zero), tensor_exponent, zero)
