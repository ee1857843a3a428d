"""Product of two tensors."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import compact
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Multiply


@lowers(Multiply)
def multiply(operator: Multiply, at: Lowering) -> Value:
    """Add the gate's offset, multiply, re-quantize."""
    graph = at.graph
    a, b = at.inputs
    offset, shift = operator.offset.astype(np.int64), operator.shift.astype(np.int64)
    gate = graph.op("Add", a.wide, compact(offset)) if offset.any() else a.wide
    ends = np.stack([(offset + x) * y for x in a.spec.limits for y in b.spec.limits])
    product = graph.op("Mul", gate, b.wide)
    return requantize(graph, at.spec, product, ends.min(axis=0), ends.max(axis=0), shift)
