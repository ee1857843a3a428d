"""Linear layers."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, tensor_offset_of, per_channel
from p2vit.numerics import Linear


@writes(Linear)
def linear(operator: Linear, at: FloatLowering) -> FloatValue:
    """MatMul with int8 weights and one power of two per output channel, plus a float bias.

    ``x' = (q_x + o) · 2^E``; the accumulator's exponent is the output's less the shift, and the weight's is
    that less E. Both then move to the exponent that the output is carried at.
    The integer bias holds the input's offset already; the part that the float tensor holds is taken off again.
    """
    graph = at.graph
    (x,) = at.inputs
    outputs = operator.weight.shape[0]
    # In its tensor_exponent the output's exponent is one for all, and so the accumulator's is that less the shift.
    carried = at.tensor_exponent - per_channel(operator.shift.astype(np.int64), outputs)
    across = np.ascontiguousarray(operator.weight.T)
    if at.form.quantize:
        scale = np.ldexp(np.float32(1), (carried - x.tensor_exponent).astype(np.int32)).astype(np.float32)
        weight = graph.op("DequantizeLinear", across, scale, np.zeros(outputs, np.int8), axis=1)
    else:
        weight = graph.constant(np.ldexp(across.astype(np.float32), (carried - x.tensor_exponent).astype(np.int32)))
    bias = operator.bias.astype(np.int64) - x.tensor_offset * operator.weight.astype(np.int64).sum(axis=1)
    product = graph.op("MatMul", x.read(graph), weight)
    constant = np.ldexp(bias.astype(np.float64), carried.astype(np.int32))
    constant += np.ldexp(float(tensor_offset_of(at.spec)), at.tensor_exponent)
    return at.output(graph.op("Add", product, constant.astype(np.float32)))
