"""Softmax, with probabilities as its output."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, power, times_power
from p2vit.numerics import Softmax
from p2vit.numerics.softmax import DISTANCE_EXPONENT

#: Exponent of quantized probabilities: uint8 represents 0 to 255/256.
PROBABILITY_EXPONENT = -8


@writes(Softmax)
def softmax(operator: Softmax, at: FloatLowering) -> FloatValue:
    """Write Softmax in float. Its probabilities are quantized only with ``quantize_probabilities``."""
    graph = at.graph
    (x,) = at.inputs
    exponent = DISTANCE_EXPONENT - operator.shift.astype(np.int32)[:, None, None]
    logits = times_power(graph, x.read(graph), exponent - x.tensor_exponent)
    probabilities = graph.op("Softmax", logits, axis=-1)
    if at.form.quantize and at.form.quantize_probabilities:
        stored = graph.op("QuantizeLinear", probabilities, power(PROBABILITY_EXPONENT), np.uint8(0))
        return FloatValue(at.spec, stored, PROBABILITY_EXPONENT, np.uint8(0))
    return FloatValue(at.spec, probabilities, 0)
