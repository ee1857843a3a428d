"""Attention × values."""

import numpy as np

from p2vit.export.onnx.common.heads import heads_first
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, times_power
from p2vit.numerics import AttentionValues


@writes(AttentionValues)
def attention_values(operator: AttentionValues, at: FloatLowering) -> FloatValue:
    """Write MatMul of probabilities and values, times a power of two per channel."""
    graph = at.graph
    codes, v = at.inputs
    weights = codes.read(graph)
    values = heads_first(graph, v.read(graph), v.spec.shape[0], operator.heads, operator.windows)
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
    return at.output(
        times_power(graph, merged, at.tensor_exponent - v.tensor_exponent - operator.shift.astype(np.int32))
    )
