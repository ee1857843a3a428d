"""How each integer operator is written as the float operator it stands for: what works on each token.

Everything is reconstructed from the integers (shifts, tables, gains): a shift is the difference of two
exponents. Tensors are in their gauge (:class:`p2vit.export.onnx.qdq.values.FloatValue`).
"""

import math

import numpy as np

from p2vit.export.onnx.qdq.activation import FUNCTIONS, recognise
from p2vit.export.onnx.qdq.activations import activation
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, held_offset, per_channel
from p2vit.numerics import Add, Affine, LayerNorm, Linear, Lookup, Patchify
from p2vit.numerics.layernorm import INDEX_SHIFT, TABLE_FIRST, squares_shift


@writes(Patchify)
def patchify(operator: Patchify, at: FloatLowering) -> FloatValue:
    """Cut the uint8 pixels; they are quantized already, so one DequantizeLinear is all that is left.

    A patch's stored integer is the pixel less 128, so that ``(q + offset)`` is the pixel less a zero point of
    128 − offset.
    """
    height, width, channels = at.inputs[0].spec.shape
    p, graph = operator.patch_size, at.graph
    grid = graph.op("Reshape", at.inputs[0].source, np.array([-1, height // p, p, width // p, p, channels]))
    rows = graph.op("Transpose", grid, perm=[0, 1, 3, 2, 4, 5])
    patches = graph.op("Reshape", rows, np.array([-1, *at.spec.shape]))
    zero = 128 - held_offset(at.spec)
    if not 0 <= zero <= 255:
        raise at.error(f"its offset is {at.spec.offset}; allowed are −127 to 128")
    return FloatValue(at.spec, patches, at.gauge, np.uint8(zero))


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
    # In its gauge the output's exponent is one for all, and so the accumulator's is that less the shift.
    carried = at.gauge - per_channel(operator.shift.astype(np.int64), outputs)
    across = np.ascontiguousarray(operator.weight.T)
    if at.form.quantize:
        scale = np.ldexp(np.float32(1), (carried - x.gauge).astype(np.int32)).astype(np.float32)
        weight = graph.op("DequantizeLinear", across, scale, np.zeros(outputs, np.int8), axis=1)
    else:
        weight = graph.constant(np.ldexp(across.astype(np.float32), (carried - x.gauge).astype(np.int32)))
    bias = operator.bias.astype(np.int64) - x.held * operator.weight.astype(np.int64).sum(axis=1)
    product = graph.op("MatMul", x.read(graph), weight)
    constant = np.ldexp(bias.astype(np.float64), carried.astype(np.int32))
    constant += np.ldexp(float(held_offset(at.spec)), at.gauge)
    return at.done(graph.op("Add", product, constant.astype(np.float32)))


@writes(LayerNorm)
def layernorm(operator: LayerNorm, at: FloatLowering) -> FloatValue:
    """LayerNormalization; its scale is a power of two per channel, gain and bias are in the next weights."""
    graph = at.graph
    (x,) = at.inputs
    channels, t = operator.channels, squares_shift(operator.channels)
    # The table holds √C · 2^K / √w; its first entry tells K.
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
    scale = np.ldexp(np.float32(1), at.gauge - exponent).astype(np.float32)
    return at.done(graph.op("LayerNormalization", x.real(graph), scale, epsilon=epsilon, axis=-1))


@writes(Lookup)
def table(operator: Lookup, at: FloatLowering) -> FloatValue:
    """The function that the table was made from."""
    (x,) = at.inputs
    name = recognise(operator, x.spec, at.spec)
    if name is None:
        raise at.error(
            f"its table is none of {', '.join(FUNCTIONS)} "
            f"between exponents {np.unique(x.spec.exponent).tolist()} and "
            f"{np.unique(at.spec.exponent).tolist()}, and onnx-qdq writes functions, not tables; "
            "export onnx-integer instead"
        )
    return at.done_real(activation(at.graph, name, x.real(at.graph)))


@writes(Add)
def add(operator: Add, at: FloatLowering) -> FloatValue:
    """Add of real values."""
    a, b = at.inputs
    return at.done_real(at.graph.op("Add", a.real(at.graph), b.real(at.graph)))


@writes(Affine)
def affine(operator: Affine, at: FloatLowering) -> FloatValue:
    """Mul and Add per channel."""
    graph = at.graph
    (x,) = at.inputs
    shift = operator.shift.astype(np.int32)
    gain = np.ldexp(operator.gain.astype(np.float64), at.gauge - x.gauge - shift).astype(np.float32)
    bias = np.ldexp(operator.bias.astype(np.float64), at.gauge - shift).astype(np.float32)
    return at.done(graph.op("Add", graph.op("Mul", x.read(graph), gain), bias))
