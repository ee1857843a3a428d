"""Patches and tokens in float: cutting, assembly, selection and sums."""

import numpy as np

from p2vit.export.onnx.common.tokens import patches, repeated, selected
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, tensor_offset_of, times_power
from p2vit.numerics import AssembleTokens, ConstantTokens, Patchify, SelectToken, SumTokens


@writes(Patchify)
def patchify(operator: Patchify, at: FloatLowering) -> FloatValue:
    """Cut the uint8 pixels into patches. They are quantized already, so the reader needs only a DequantizeLinear.

    The stored integer of a patch is the pixel − 128, so its zero point as uint8 is 128 − offset.
    """
    (x,) = at.inputs
    cut = patches(at.graph, x.source, x.spec.shape, operator.patch_size)
    zero = 128 - tensor_offset_of(at.spec)
    if not 0 <= zero <= 255:
        raise at.error(f"its offset is {at.spec.offset}; allowed are −127 to 128")
    return FloatValue(at.spec, cut, at.tensor_exponent, np.uint8(zero))


@writes(AssembleTokens)
def assemble(operator: AssembleTokens, at: FloatLowering) -> FloatValue:
    """Add the position embedding, and put the prefix tokens first."""
    graph = at.graph
    (x,) = at.inputs
    exponent = at.spec.exponent.astype(np.int32)
    tokens = graph.op("Add", x.real(graph), np.ldexp(operator.position.astype(np.float32), exponent))
    if operator.prefix.shape[0]:
        prefix = repeated(graph, np.ldexp(operator.prefix.astype(np.float32), exponent), tokens)
        tokens = graph.op("Concat", prefix, tokens, axis=1)
    return at.output_real(tokens)


@writes(SelectToken)
def select(operator: SelectToken, at: FloatLowering) -> FloatValue:
    """Slice along the tokens. The input is quantized already, and so is the output."""
    (x,) = at.inputs
    return FloatValue(at.spec, selected(at.graph, x.source, operator.index), x.tensor_exponent, x.zero)


@writes(SumTokens)
def total(operator: SumTokens, at: FloatLowering) -> FloatValue:
    """Sum over tokens, times a power of two. The next weights contain the division by the number of tokens."""
    graph = at.graph
    (x,) = at.inputs
    part = selected(graph, x.read(graph), operator.first, operator.count)
    summed = graph.op("ReduceSum", part, np.array([1]), keepdims=1)
    return at.output(
        times_power(graph, summed, at.tensor_exponent - x.tensor_exponent - operator.shift.astype(np.int32))
    )


@writes(ConstantTokens)
def constant(operator: ConstantTokens, at: FloatLowering) -> FloatValue:
    """Expand constant tokens to the number of images."""
    real = np.ldexp(operator.tokens.astype(np.float32), at.spec.exponent.astype(np.int32))
    return at.output_real(repeated(at.graph, real.astype(np.float32), at.inputs[0].source))
