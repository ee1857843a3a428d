"""Patches, tokens and pooling: reshapes, constants and sums."""

import numpy as np

from p2vit.export.lowering.registry import Lowering, lowers
from p2vit.export.shifts import clamp
from p2vit.export.values import Value, requantize
from p2vit.numerics import AssembleTokens, Patchify, SelectToken, SumTokens
from p2vit.numerics.rounding import int_range


@lowers(Patchify)
def patchify(operator: Patchify, at: Lowering) -> Value:
    """Cut into patches; ``x − 128`` as int8 is x itself in the biased form, so no arithmetic is left."""
    height, width, channels = at.inputs[0].spec.shape
    p, graph = operator.patch_size, at.graph
    grid = graph.op("Reshape", at.inputs[0].biased, np.array([-1, height // p, p, width // p, p, channels]))
    rows = graph.op("Transpose", grid, perm=[0, 1, 3, 2, 4, 5])
    return Value(graph, at.spec, biased=graph.op("Reshape", rows, np.array([-1, *at.spec.shape])))


@lowers(AssembleTokens)
def assemble(operator: AssembleTokens, at: Lowering) -> Value:
    """Add the positions, saturate, put the prefix before each image's tokens."""
    graph = at.graph
    (x,) = at.inputs
    total = graph.op("Add", x.wide, operator.position.astype(np.int32))
    tokens = clamp(graph, total, int_range(operator.output_bits, signed=True))
    if operator.prefix.shape[0]:
        batch = graph.op("Slice", graph.op("Shape", x.wide), np.array([0]), np.array([1]))
        shape = graph.op("Concat", batch, np.array(operator.prefix.shape), axis=0)
        prefix = graph.op("Expand", operator.prefix.astype(np.int32)[None], shape)
        tokens = graph.op("Concat", prefix, tokens, axis=1)
    return Value(graph, at.spec, wide=tokens)


@lowers(SelectToken)
def select(operator: SelectToken, at: Lowering) -> Value:
    """``Slice`` along the tokens, in whatever form the tokens are."""
    (x,) = at.inputs
    form = x.cheapest
    ends = np.array([operator.index]), np.array([operator.index + 1]), np.array([1])
    return Value(at.graph, at.spec, **{form: at.graph.op("Slice", x.form(form), *ends)})


@lowers(SumTokens)
def total(operator: SumTokens, at: Lowering) -> Value:
    """``ReduceSum`` of a slice, re-quantized."""
    graph = at.graph
    (x,) = at.inputs
    end = operator.first + operator.count
    part = graph.op("Slice", x.wide, np.array([operator.first]), np.array([end]), np.array([1]))
    summed = graph.op("ReduceSum", part, np.array([1]), keepdims=1)
    low, high = (operator.count * limit for limit in x.spec.limits)
    return requantize(graph, at.spec, summed, low, high, operator.shift.astype(np.int64))
