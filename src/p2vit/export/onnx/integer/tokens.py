"""Patches, tokens and pooling."""

import numpy as np

from p2vit.export.onnx.common.tokens import patches, repeated, selected
from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import clamp
from p2vit.export.onnx.integer.shifts import total as sum_of
from p2vit.export.onnx.integer.values import ZERO_POINT, Value
from p2vit.numerics import AssembleTokens, ConstantTokens, Patchify, SelectToken, SumTokens
from p2vit.numerics.rounding import int_range


@lowers(Patchify)
def patchify(operator: Patchify, at: Lowering) -> Value:
    """Cut pixels into patches. The biased form of ``x − 128`` is x itself, so there is no arithmetic."""
    (x,) = at.inputs
    return Value(at.graph, at.spec, biased=patches(at.graph, x.biased, x.spec.shape, operator.patch_size))


@lowers(AssembleTokens)
def assemble(operator: AssembleTokens, at: Lowering) -> Value:
    """Add the positions, saturate, and put the prefix tokens first."""
    graph = at.graph
    (x,) = at.inputs
    total = graph.op("Add", x.wide, operator.position.astype(np.int32))
    tokens = clamp(graph, total, int_range(operator.output_bits, signed=True))
    if operator.prefix.shape[0]:
        prefix = repeated(graph, operator.prefix.astype(np.int32), x.wide)
        tokens = graph.op("Concat", prefix, tokens, axis=1)
    return Value(graph, at.spec, wide=tokens)


@lowers(ConstantTokens)
def constant(operator: ConstantTokens, at: Lowering) -> Value:
    """Expand constant tokens to the number of images."""
    (x,) = at.inputs
    if at.spec.bits <= 8:
        biased = (operator.tokens.astype(np.int16) + ZERO_POINT).astype(np.uint8)
        return Value(at.graph, at.spec, biased=repeated(at.graph, biased, x.form(x.cheapest)))
    wide = operator.tokens.astype(np.int32)
    return Value(at.graph, at.spec, wide=repeated(at.graph, wide, x.form(x.cheapest)))


@lowers(SelectToken)
def select(operator: SelectToken, at: Lowering) -> Value:
    """Write ``Slice`` along the tokens, in the form that exists."""
    (x,) = at.inputs
    form = x.cheapest
    return Value(at.graph, at.spec, **{form: selected(at.graph, x.form(form), operator.index)})


@lowers(SumTokens)
def total(operator: SumTokens, at: Lowering) -> Value:
    """Write ``ReduceSum`` of a slice, and its re-quantization."""
    graph = at.graph
    (x,) = at.inputs
    part = selected(graph, x.wide, operator.first, operator.count)
    summed = sum_of(graph, part, 1, operator.count, x.spec.limits)
    low, high = (operator.count * limit for limit in x.spec.limits)
    return requantize(graph, at.spec, summed, low, high, operator.shift.astype(np.int64))
