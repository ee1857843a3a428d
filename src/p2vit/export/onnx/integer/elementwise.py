"""Tables, residual adds and per-channel gains."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.shifts import INT32_MAX, compact, lookup
from p2vit.export.onnx.integer.values import ZERO_POINT, Value, requantize
from p2vit.numerics import Add, Affine, Lookup


@lowers(Lookup)
def table(operator: Lookup, at: Lowering) -> Value:
    """One table read: the lifted input is the index, after those of the tables before its own; the entries are
    biased outputs.
    """
    graph = at.graph
    (x,) = at.inputs
    entries = (operator.table.astype(np.int16) + ZERO_POINT).astype(np.uint8).ravel()
    index = x.lifted
    if operator.groups > 1:
        first = operator.group_of(at.spec.shape[-1]) * operator.table.shape[1]
        index = graph.op("Add", index, first.astype(np.int32))
    return Value(graph, at.spec, biased=lookup(graph, entries, index, at.spec.shape))


@lowers(Add)
def add(operator: Add, at: Lowering) -> Value:
    """Align both operands, add, re-quantize."""
    graph = at.graph
    lefts = [shift.astype(np.int64) for shift in (operator.left_a, operator.left_b)]
    limits = np.array([x.spec.limits for x in at.inputs])
    low, high = (sum(limits[i, end] << lefts[i] for i in range(2)) for end in range(2))
    if max(int(np.max(high)), -int(np.min(low))) > INT32_MAX:
        raise at.error(
            "the aligned sum may leave int32 for operands of "
            f"{at.inputs[0].spec.bits} and {at.inputs[1].spec.bits} bits; use smaller left shifts"
        )
    aligned = [
        graph.op("Mul", x.wide, compact(np.int64(1) << left, np.int32)) if left.any() else x.wide
        for x, left in zip(at.inputs, lefts, strict=True)
    ]
    return requantize(graph, at.spec, graph.op("Add", *aligned), low, high, operator.shift.astype(np.int64))


@lowers(Affine)
def affine(operator: Affine, at: Lowering) -> Value:
    """Multiply by the gain; bias, shift and saturation follow."""
    graph = at.graph
    (x,) = at.inputs
    gain = operator.gain.astype(np.int64)
    ends = np.stack([gain * limit for limit in x.spec.limits])
    product = graph.op("Mul", x.wide, compact(gain, np.int32))
    shift, bias = operator.shift.astype(np.int64), operator.bias.astype(np.int64)
    return requantize(graph, at.spec, product, ends.min(axis=0), ends.max(axis=0), shift, bias)
