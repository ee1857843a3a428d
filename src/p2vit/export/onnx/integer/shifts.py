"""Rounding shifts, written with ``Div`` on non-negative integers.

ONNX Runtime has no arithmetic right shift: ``BitShift`` needs unsigned numbers, and ``Div`` on integers truncates
towards zero. For a number that is not negative, truncation and floor are equal, so

    floor((x + half) / 2^s) = Div(x + half + m·2^s, 2^s) − m

for every m that makes the left operand non-negative. ``half``, ``m·2^s`` and a bias are one constant, and m comes from
the proven range of x. The computation is in int32, or in int64 if the sum with ``m·2^s`` does not fit int32.
"""

import numpy as np
from numpy.typing import NDArray

from p2vit.export.onnx.common.graph import OnnxGraph

Int64 = NDArray[np.int64]
IntType = type[np.int32] | type[np.int64]
INT32_MAX = (1 << 31) - 1


def compact(values: Int64, dtype: IntType) -> np.ndarray:
    """Return a scalar if all values are equal, because elementwise kernels are faster on scalars."""
    array = np.asarray(values, dtype=np.int64)
    same = array.size > 0 and bool((array == array.flat[0]).all())
    return (array.reshape(-1)[:1].reshape(()) if same else array).astype(dtype)


def shift_round(
    graph: OnnxGraph, x: str, low: object, high: object, shift: object, bias: object = 0, offset: int = 0
) -> tuple[str, IntType]:
    """Write ``round((x + bias) · 2^-shift) + offset``, rounded half up.

    Args:
        graph: Graph to which nodes are added.
        x: int32 tensor.
        low: Proven smallest value of x; broadcasts with shift and bias.
        high: Proven largest value of x.
        shift: −31 to 31; a negative shift multiplies by a power of two. Broadcasts against the trailing axes of x.
        bias: Constant that is added first.
        offset: Constant that is added last.

    Returns:
        Name and dtype of the result. The dtype is int64 only if int32 could overflow.
    """
    arrays = [np.asarray(v, dtype=np.int64) for v in (low, high, shift, bias)]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    least, most, s, b = (np.broadcast_to(a, shape) for a in arrays)
    left, right = np.maximum(-s, 0), np.maximum(s, 0)
    least, most, b = least << left, most << left, (b << left) + ((np.int64(1) << right) >> 1)
    # Multiples of 2^shift that make the smallest sum non-negative; Div by 1 needs none.
    steps = np.where(right > 0, np.maximum(-((least + b) >> right), 0), offset)
    uniform = np.full(shape, steps.max())
    if _fits(least, most, b + (uniform << right)):
        steps = uniform
    dtype: IntType = np.int32
    if not _fits(least, most, b + (steps << right)):
        dtype = np.int64
        x = graph.cast(x, np.int64)
    x = _constant_op(graph, "Mul", x, np.int64(1) << left, dtype, neutral=1)
    x = _constant_op(graph, "Add", x, b + (steps << right), dtype)
    x = _constant_op(graph, "Div", x, np.int64(1) << right, dtype, neutral=1)
    return _constant_op(graph, "Sub", x, steps - offset, dtype), dtype


def _fits(least: Int64, most: Int64, constant: Int64) -> bool:
    inside = (np.abs(constant) <= INT32_MAX) & (most <= INT32_MAX) & (least >= -INT32_MAX)
    return bool((inside & (most + constant <= INT32_MAX) & (least + constant >= -INT32_MAX)).all())


def _constant_op(graph: OnnxGraph, kind: str, x: str, values: Int64, dtype: IntType, neutral: int = 0) -> str:
    """Add an operator with a constant, unless the constant is neutral."""
    return x if (values == neutral).all() else graph.op(kind, x, compact(values, dtype))


def clamp(graph: OnnxGraph, x: str, limits: tuple[int, int], dtype: IntType = np.int32) -> str:
    """Write ``Clip`` to a range of integers."""
    return graph.op("Clip", x, dtype(limits[0]), dtype(limits[1]))


def bit_length(graph: OnnxGraph, x: str) -> str:
    """Write the bit length of non-negative int32 numbers [..., 1]: the number of powers of two that are not larger."""
    powers = (np.int64(1) << np.arange(31)).astype(np.int32)
    reached = graph.op("GreaterOrEqual", x, powers)
    return graph.op("ReduceSum", graph.cast(reached, np.int32), np.array([-1]), keepdims=1)


def by_index(graph: OnnxGraph, table: Int64, index: str, dtype: IntType = np.int32) -> str:
    """Write the lookup of int32 indices in a small constant table with ``Gather``, for one number per row."""
    return graph.op("Gather", np.asarray(table, dtype=np.int64).astype(dtype), index)


def lookup(graph: OnnxGraph, table: np.ndarray, index: str, shape: tuple[int, ...]) -> str:
    """Write the lookup of a large index tensor [B, *shape] in a constant table.

    It uses ``GatherElements`` on flat tensors, because ONNX Runtime's ``Gather`` takes three times as long.
    """
    flat = graph.op("Reshape", index, np.array([-1]))
    return graph.op("Reshape", graph.op("GatherElements", table, flat, axis=0), np.array([-1, *shape]))
