"""Residual add."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import compact
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Add
from p2vit.numerics.rounding import INT32


@lowers(Add)
def add(operator: Add, at: Lowering) -> Value:
    """Write the alignment of both operands, their sum and its re-quantization."""
    graph = at.graph
    lefts = [shift.astype(np.int64) for shift in (operator.left_a, operator.left_b)]
    limits = np.array([x.spec.limits for x in at.inputs])
    low, high = (sum(limits[i, end] << lefts[i] for i in range(2)) for end in range(2))
    if max(int(np.max(high)), -int(np.min(low))) > INT32[1]:
        raise at.error(
            "the aligned sum may leave int32 for operands of "
            f"{at.inputs[0].spec.bits} and {at.inputs[1].spec.bits} bits; use smaller left shifts"
        )
    aligned = [
        graph.op("Mul", x.wide, compact(np.int64(1) << left)) if left.any() else x.wide
        for x, left in zip(at.inputs, lefts, strict=True)
    ]
    return requantize(graph, at.spec, graph.op("Add", *aligned), low, high, operator.shift.astype(np.int64))
