"""Table lookup."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.shifts import lookup
from p2vit.export.onnx.integer.values import ZERO_POINT, Value
from p2vit.numerics import Lookup


@lowers(Lookup)
def table(operator: Lookup, at: Lowering) -> Value:
    """Write one table lookup. The index is the lifted input plus 256 for each table before; entries are biased."""
    graph = at.graph
    (x,) = at.inputs
    entries = (operator.table.astype(np.int16) + ZERO_POINT).astype(np.uint8).ravel()
    index = x.lifted
    if operator.groups > 1:
        first = operator.group_of(at.spec.shape[-1]) * operator.table.shape[1]
        index = graph.op("Add", index, first.astype(np.int32))
    return Value(graph, at.spec, biased=lookup(graph, entries, index, at.spec.shape))
