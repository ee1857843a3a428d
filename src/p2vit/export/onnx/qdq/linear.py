"""Linear layers."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, per_channel, tensor_offset_of
from p2vit.numerics import Linear


@writes(Linear)
def linear(operator: Linear, at: FloatLowering) -> FloatValue:
    """Write MatMul with int8 weights, one power of two per output channel, and a float bias.

    The input is ``(q_x + o) · 2^E``. The accumulator's exponent is the output's minus the shift, and the weight's is
    the accumulator's minus E. The integer bias has absorbed the whole offset of the input. The part of it that the
    float tensor includes is subtracted again.
    """
    graph = at.graph
    (x,) = at.inputs
    outputs = operator.weight.shape[0]
    # The output has one exponent in the float graph, so the accumulator's is that minus the shift.
    accumulator = at.tensor_exponent - per_channel(operator.shift.astype(np.int64), outputs)
    across = np.ascontiguousarray(operator.weight.T)
    if at.form.quantize:
        scale = np.ldexp(np.float32(1), (accumulator - x.tensor_exponent).astype(np.int32)).astype(np.float32)
        weight = graph.op("DequantizeLinear", across, scale, np.zeros(outputs, np.int8), axis=1)
    else:
        weight = graph.constant(
            np.ldexp(across.astype(np.float32), (accumulator - x.tensor_exponent).astype(np.int32))
        )
    bias = operator.bias.astype(np.int64) - x.tensor_offset * operator.weight.astype(np.int64).sum(axis=1)
    product = graph.op("MatMul", x.read(graph), weight)
    constant = np.ldexp(bias.astype(np.float64), accumulator.astype(np.int32))
    constant += np.ldexp(float(tensor_offset_of(at.spec)), at.tensor_exponent)
    return at.output(graph.op("Add", product, constant.astype(np.float32)))
