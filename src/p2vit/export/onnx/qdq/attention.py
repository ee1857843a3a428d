"""Attention in float: scores, the bias and mask of windows, softmax, values."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, power, times_power
from p2vit.numerics import AttentionValues, ScoreBias, Scores, Softmax
from p2vit.numerics.softmax import DISTANCE_EXPONENT

#: Scale of quantized probabilities, relative to 1: uint8 holds 0 to 255/256.
PROBABILITY_EXPONENT = -8


def heads_first(at: FloatLowering, x: FloatValue, heads: int, windows: int = 1, across: bool = False) -> str:
    """[B, W·N, H·D] → [B, H, W, N, D], or [B, H, N, D] for one window; D before N if ``across``."""
    tokens, source = x.spec.shape[0], x.read(at.graph)
    if windows == 1:
        split = at.graph.op("Reshape", source, np.array([0, tokens, heads, -1]))
        return at.graph.op("Transpose", split, perm=[0, 2, 3, 1] if across else [0, 2, 1, 3])
    split = at.graph.op("Reshape", source, np.array([0, windows, tokens // windows, heads, -1]))
    return at.graph.op("Transpose", split, perm=[0, 3, 1, 4, 2] if across else [0, 3, 1, 2, 4])


@writes(Scores)
def scores(operator: Scores, at: FloatLowering) -> FloatValue:
    """MatMul of queries and keys; the softmax scales it to real scores by a power of two."""
    graph = at.graph
    q, k = at.inputs
    left = heads_first(at, q, operator.heads, operator.windows)
    right = heads_first(at, k, operator.heads, operator.windows, across=True)
    product = graph.op("MatMul", left, right)
    if operator.windows > 1:
        product = graph.op("Reshape", product, np.array([-1, *at.spec.shape]))
    return FloatValue(at.spec, product, q.gauge + k.gauge)


@writes(ScoreBias)
def score_bias(operator: ScoreBias, at: FloatLowering) -> FloatValue:
    """Add, then Where with the mask, window by window."""
    graph = at.graph
    (x,) = at.inputs
    heads, rows, keys = at.spec.shape
    windows = graph.op("Reshape", x.read(graph), np.array([-1, heads, rows // keys, keys, keys]))
    bias = np.ldexp(operator.bias.astype(np.float32), x.gauge)[:, None]
    total = graph.op("Add", windows, bias)
    if operator.mask is not None:
        masked = np.ldexp(operator.masked.astype(np.float32), x.gauge)[:, None, None, None]
        total = graph.op("Where", operator.mask, masked, total)
    return FloatValue(at.spec, graph.op("Reshape", total, np.array([-1, *at.spec.shape])), x.gauge)


@writes(Softmax)
def softmax(operator: Softmax, at: FloatLowering) -> FloatValue:
    """Softmax in float; its probabilities are quantized relative to 1 only if asked for."""
    graph = at.graph
    (x,) = at.inputs
    exponent = DISTANCE_EXPONENT - operator.shift.astype(np.int32)[:, None, None]
    logits = times_power(graph, x.read(graph), exponent - x.gauge)
    probabilities = graph.op("Softmax", logits, axis=-1)
    if at.form.quantize and at.form.quantize_probabilities:
        stored = graph.op("QuantizeLinear", probabilities, power(PROBABILITY_EXPONENT), np.uint8(0))
        return FloatValue(at.spec, stored, PROBABILITY_EXPONENT, np.uint8(0))
    return FloatValue(at.spec, probabilities, 0)


@writes(AttentionValues)
def attention_values(operator: AttentionValues, at: FloatLowering) -> FloatValue:
    """MatMul of probabilities and values; the shift per channel is a power of two per channel."""
    graph = at.graph
    codes, v = at.inputs
    weights, values = codes.read(graph), heads_first(at, v, operator.heads, operator.windows)
    heads, queries, keys = codes.spec.shape
    if operator.windows > 1:
        grouped = np.array([-1, heads, operator.windows, queries // operator.windows, keys])
        weights = graph.op("Reshape", weights, grouped)
    mixed = graph.op("MatMul", weights, values)
    if operator.windows > 1:
        width = at.spec.shape[1] // operator.heads
        mixed = graph.op("Reshape", mixed, np.array([-1, heads, queries, width]))
    rows = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
    merged = graph.op("Reshape", rows, np.array([0, *at.spec.shape]))
    return at.done(times_power(graph, merged, at.gauge - v.gauge - operator.shift.astype(np.int32)))
