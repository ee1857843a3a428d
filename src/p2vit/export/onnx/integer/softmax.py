"""Softmax: one subtraction, one division by a power of two, and one table lookup per score."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.shifts import FLOAT_LIMIT, compact, constant_op, lookup, row_maximum
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Softmax
from p2vit.numerics.rounding import INT32
from p2vit.numerics.softmax import LARGEST_DISTANCE


def codes_by_distance(form: str) -> np.ndarray:
    """Return the code of every distance from the maximum, up to the first that has the last code: uint8 [≤ 65536].

    The operator itself computes the codes, from a row with the maximum and all distances below it.
    """
    distances = np.arange(LARGEST_DISTANCE + 1, dtype=np.int32)
    operator = Softmax(np.zeros(1, np.int8), form)  # type: ignore[arg-type]
    codes = operator.compute(-distances[None, None, None, :])[0, 0, 0]
    last = int(np.flatnonzero(codes != codes[-1]).max()) + 1
    return codes[: last + 1].astype(np.uint8)


@lowers(Softmax)
def softmax(operator: Softmax, at: Lowering) -> Value:
    """Write ``code = table[min(round((max − s) · 2^-shift), last)]``.

    The distance is never negative, so the shift is a plain ``Div``. Its rounding constant is added to the row's
    maximum. One table covers the rest of the operator.
    """
    graph = at.graph
    (scores,) = at.inputs
    table = codes_by_distance(operator.form)
    shift = operator.shift.astype(np.int64)[:, None, None]
    left, right = np.maximum(-shift, 0), np.maximum(shift, 0)
    low, high = at.ranges[at.node.inputs[0]]
    top = row_maximum(graph, scores.wide, (low, high))
    half = (np.int64(1) << right) >> 1
    top = constant_op(graph, "Add", top, half)
    distance = graph.op("Sub", top, scores.wide)
    last = len(table) - 1
    if left.any() or high - low + half.max() > FLOAT_LIMIT:
        # Clamped before the shift, so that a product cannot overflow.
        reach = np.where(left > 0, -(-np.int64(last) >> left), np.minimum((last + 1) << right, INT32[1]))
        distance = graph.op("Min", distance, compact(reach))
    distance = constant_op(graph, "BitwiseAnd", distance, -(np.int64(1) << right), neutral=-1)
    distance = constant_op(graph, "Div", distance, np.int64(1) << right, neutral=1)
    distance = constant_op(graph, "Mul", distance, np.int64(1) << left, neutral=1)
    distance = graph.op("Min", distance, np.int32(last))
    return Value(graph, at.spec, biased=lookup(graph, table, distance, at.spec.shape))
