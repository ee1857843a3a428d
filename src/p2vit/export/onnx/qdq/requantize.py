"""Re-quantization as a QuantizeLinear/DequantizeLinear pair."""

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.qdq.values import FloatValue, QdqForm, power, tensor_exponent_of, tensor_offset_of
from p2vit.numerics.rounding import int_range
from p2vit.program.graph import TensorSpec


def quantized(graph: OnnxGraph, spec: TensorSpec, x: str, form: QdqForm) -> FloatValue:
    """Quantize a computed tensor if it has 8 bits; a wider one stays float.

    Args:
        graph: Graph to which nodes are added.
        spec: The program's tensor.
        x: Float tensor with the one scale of ``spec``.
        form: Options of the export.

    Raises:
        P2vitError: The offset does not fit an 8-bit zero point.
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
    return FloatValue(
        spec, graph.op("QuantizeLinear", x, power(tensor_exponent), zero), tensor_exponent, zero
    )
