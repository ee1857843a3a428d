"""LayerNorm."""

import math

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, per_channel
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import INDEX_SHIFT, TABLE_FIRST, squares_shift

#: The first opset with LayerNormalization. Below it, the pattern is written that runtimes fuse.
LAYERNORM_OPSET = 17


@writes(LayerNorm)
def layernorm(operator: LayerNorm, at: FloatLowering) -> FloatValue:
    """Write LayerNormalization, or its parts in older opsets.

    Its scale is a power of two per channel; the next weights contain gain and bias.
    """
    graph = at.graph
    (x,) = at.inputs
    channels, t = operator.channels, squares_shift(operator.channels)
    # The table is √C · 2^K / √w; K follows from its first entry.
    middle = (2 * TABLE_FIRST + 1) << (INDEX_SHIFT - 1)
    fraction = round(math.log2(int(operator.table[0]) * math.sqrt(middle / channels)))
    exponent = operator.shift.astype(np.int32) - fraction - t
    inputs = per_channel(x.spec.exponent.astype(np.int64), channels) - operator.input_shift
    if np.unique(inputs).size != 1:
        raise at.error(
            "its aligned input has no single exponent; input_shift does not fit the input's exponents"
        )
    unit = 2 * (operator.epsilon_shift + t + int(inputs[0]))
    epsilon = math.ldexp(operator.epsilon, unit) / channels**3
    scale = np.ldexp(np.float32(1), at.tensor_exponent - exponent).astype(np.float32)
    if at.form.opset >= LAYERNORM_OPSET:
        return at.output(graph.op("LayerNormalization", x.real(graph), scale, epsilon=epsilon, axis=-1))
    real = x.real(graph)
    centred = graph.op("Sub", real, graph.op("ReduceMean", real, axes=[-1], keepdims=1))
    variance = graph.op("ReduceMean", graph.op("Mul", centred, centred), axes=[-1], keepdims=1)
    deviation = graph.op("Sqrt", graph.op("Add", variance, np.float32(epsilon)))
    return at.output(graph.op("Mul", graph.op("Div", centred, deviation), scale))
