"""Patches, tokens and pooling: reshapes, constants and sums."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import clamp
from p2vit.export.onnx.integer.values import ZERO_POINT, Value
from p2vit.numerics import AssembleTokens, ConstantTokens, GatherTokens, Patchify, SelectToken, SumTokens
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
        prefix = repeated(at, operator.prefix.astype(np.int32), x.wide)
        tokens = graph.op("Concat", prefix, tokens, axis=1)
    return Value(graph, at.spec, wide=tokens)


#: What a form adds to the stored integers.
FORM_OFFSET = {"stored": 0, "wide": 0, "lifted": ZERO_POINT, "biased": ZERO_POINT}
FORM_DTYPE = {"wide": np.int32, "lifted": np.int32, "biased": np.uint8}


def repeated(at: Lowering, rows: np.ndarray, like: str) -> str:
    """Constant rows [T, C] for every image of a tensor [B, ...]: [B, T, C]."""
    graph = at.graph
    batch = graph.op("Slice", graph.op("Shape", like), np.array([0]), np.array([1]))
    return graph.op("Expand", rows[None], graph.op("Concat", batch, np.array(rows.shape), axis=0))


@lowers(GatherTokens)
def gather(operator: GatherTokens, at: Lowering) -> Value:
    """``Gather`` along the tokens, in whatever form the tokens are; the fill token stands behind the last."""
    graph = at.graph
    (x,) = at.inputs
    form = x.cheapest
    tokens, index = x.form(form), operator.index.astype(np.int64)
    if (index < 0).any():
        dtype = FORM_DTYPE.get(form, x.spec.dtype)
        fill = (operator.fill.astype(np.int64) + FORM_OFFSET[form]).astype(dtype)
        tokens = graph.op("Concat", tokens, repeated(at, fill[None], tokens), axis=1)
        index = np.where(index < 0, x.spec.shape[0], index)
    rows = graph.op("Gather", tokens, index.reshape(-1), axis=1)
    return Value(graph, at.spec, **{form: graph.op("Reshape", rows, np.array([-1, *at.spec.shape]))})


@lowers(ConstantTokens)
def constant(operator: ConstantTokens, at: Lowering) -> Value:
    """``Expand`` to the number of images."""
    (x,) = at.inputs
    if at.spec.bits <= 8:
        biased = (operator.tokens.astype(np.int16) + ZERO_POINT).astype(np.uint8)
        return Value(at.graph, at.spec, biased=repeated(at, biased, x.form(x.cheapest)))
    wide = operator.tokens.astype(np.int32)
    return Value(at.graph, at.spec, wide=repeated(at, wide, x.form(x.cheapest)))


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
