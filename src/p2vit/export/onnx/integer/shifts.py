"""Integer arithmetic that is exact in every runtime, also in those that compute some of it in float32.

ONNX Runtime computes int32 in int32. OpenVINO's CPU plugin does so for ``Add``, ``Sub``, ``Mul``, ``Min``, ``Max`` and
``BitwiseAnd``. It computes ``Div``, ``Clip``, comparisons, reductions and matrix products in float32, which holds every
integer up to 2^24, and of the larger ones those with few significant bits. So the operands of these operators are
within float32, by the proven ranges.

A right shift by s of a number of either sign is ``Div(BitwiseAnd(x, −2^s), 2^s)``: ONNX has no arithmetic right shift,
and ``Div`` on integers truncates towards zero, or not at all where a runtime computes it in float32 as part of another
operator. The number that is divided here is a multiple of 2^s, so there is no remainder to truncate, and float32 holds
it if it holds the result.
"""

import numpy as np
from numpy.typing import NDArray

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.numerics.rounding import INT32, Range

Int64 = NDArray[np.int64]
#: float32 holds every integer of at most this magnitude.
FLOAT_LIMIT = 1 << 24


def compact(values: Int64) -> np.ndarray:
    """Return int32; a scalar if all values are equal, because elementwise kernels are faster on scalars."""
    array = np.asarray(values, dtype=np.int64)
    same = array.size > 0 and bool((array == array.flat[0]).all())
    return (array.reshape(-1)[:1].reshape(()) if same else array).astype(np.int32)


def shift_round(
    graph: OnnxGraph, x: str, low: object, high: object, shift: object, bias: object = 0, offset: int = 0
) -> str:
    """Write ``round((x + bias) · 2^-shift) + offset``, rounded half up.

    Where the magnitude of the result is above 2^24, a runtime may round it, but not to below 2^24: a clamp to a smaller
    range gives the exact integer.

    Args:
        graph: Graph to which nodes are added.
        x: int32 tensor.
        low: Proven smallest value of x; broadcasts with shift and bias.
        high: Proven largest value of x.
        shift: −31 to 31; a negative shift multiplies by a power of two. Broadcasts against the trailing axes of x.
        bias: Constant that is added first.
        offset: Constant that is added last.

    Returns:
        Name of the result, int32.

    Raises:
        ValueError: The sum, shifted to the left, may leave int32; see :func:`p2vit.export.onnx.integer.requantize`.
    """
    arrays = [np.asarray(v, dtype=np.int64) for v in (low, high, shift, bias)]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    least, most, s, b = (np.broadcast_to(a, shape) for a in arrays)
    left, right = np.maximum(-s, 0), np.maximum(s, 0)
    least, most, b = least << left, most << left, (b << left) + ((np.int64(1) << right) >> 1)
    x = constant_op(graph, "Mul", x, np.int64(1) << left, neutral=1)
    if not right.any():
        _expect_inside(least, most, b + offset)
        return constant_op(graph, "Add", x, b + offset)
    # The offset is part of the first constant if that keeps the sum within float32, see fence.
    early = offset if _inside(least, most, b + (np.int64(offset) << right), FLOAT_LIMIT) else 0
    _expect_inside(least, most, b + (np.int64(early) << right))
    x = constant_op(graph, "Add", x, b + (np.int64(early) << right))
    x = constant_op(graph, "BitwiseAnd", x, -(np.int64(1) << right), neutral=-1)
    x = constant_op(graph, "Div", x, np.int64(1) << right, neutral=1)
    return constant_op(graph, "Add", x, np.full(shape, offset - early))


def _inside(least: Int64, most: Int64, constant: Int64, limit: int = INT32[1]) -> bool:
    inside = (np.abs(constant) <= limit) & (most <= limit) & (least >= -limit - 1)
    return bool((inside & (most + constant <= limit) & (least + constant >= -limit - 1)).all())


def _expect_inside(least: Int64, most: Int64, constant: Int64) -> None:
    if not _inside(least, most, constant):
        raise ValueError(
            f"the sum reaches {int((least + constant).min())} to {int((most + constant).max())}, which is not in int32"
        )


def constant_op(graph: OnnxGraph, kind: str, x: str, values: Int64, neutral: int = 0) -> str:
    """Add an operator with an int32 constant, unless the constant is neutral."""
    return x if (values == neutral).all() else graph.op(kind, x, compact(values))


def clamp(graph: OnnxGraph, x: str, limits: Range) -> str:
    """Write ``Clip`` to a range of integers, of a magnitude that float32 holds."""
    assert max(map(abs, limits)) <= FLOAT_LIMIT
    return graph.op("Clip", x, np.int32(limits[0]), np.int32(limits[1]))


def reduce(graph: OnnxGraph, kind: str, x: str, axis: int) -> str:
    """Write a reduction along an axis, which is kept, and a fence."""
    return fence(graph, graph.op(kind, x, np.array([axis]), keepdims=1))


def fence(graph: OnnxGraph, x: str) -> str:
    """Write an operator that changes nothing, but that no runtime fuses with a product or a reduction before it.

    OpenVINO adds constants that it fuses with a product in float32, and some of those that it fuses with a reduction
    to the first image only.
    """
    return graph.op("BitwiseAnd", x, np.int32(-1))


def shift_rows(graph: OnnxGraph, x: str, shift: Int64, index: str) -> str:
    """Write ``floor(x · 2^-shift)`` of int32 numbers [..., C] with a shift per row, ``shift[index]``, 0 to 30.

    Args:
        graph: Graph to which nodes are added.
        x: The numbers; the results have a magnitude of at most 2^24.
        shift: Table of shifts.
        index: int32 [..., 1].
    """
    if not shift.any():
        return x
    kept = graph.op("BitwiseAnd", x, by_index(graph, -(np.int64(1) << shift), index))
    return graph.op("Div", kept, by_index(graph, np.int64(1) << shift, index))


def total(graph: OnnxGraph, x: str, axis: int, count: int, limits: Range, largest: int | None = None) -> str:
    """Write the sum along an axis, which is kept. Large sums are sums of limbs, each of which float32 holds.

    Args:
        graph: Graph to which nodes are added.
        x: int32 tensor.
        axis: The axis.
        count: Its length.
        limits: Proven range of x.
        largest: Proven bound of the sum's magnitude, if it is less than ``count`` times that of x.
    """
    magnitude = max(-limits[0], limits[1])
    largest = min(count * magnitude, count * magnitude if largest is None else largest)
    if largest <= FLOAT_LIMIT:
        return reduce(graph, "ReduceSum", x, axis)
    bits = (FLOAT_LIMIT // count).bit_length() - 1
    assert bits > 0, "an axis of up to 2^23"
    low = graph.op("BitwiseAnd", x, np.int32((1 << bits) - 1))
    high = graph.op("Div", graph.op("BitwiseAnd", x, np.int32(-1 << bits)), np.int32(1 << bits))
    # Floored limbs of negative numbers are one larger.
    above = total(graph, high, axis, count, (limits[0] >> bits, limits[1] >> bits), (largest >> bits) + count)
    below = reduce(graph, "ReduceSum", low, axis)
    return graph.op("Add", graph.op("Mul", above, np.int32(1 << bits)), below)


def row_maximum(graph: OnnxGraph, x: str, limits: Range) -> str:
    """Write the maximum along the last axis, which is kept.

    Numbers that float32 does not hold are compared by their upper 16 bits, and those with the largest upper bits by
    their lower 16.
    """
    if max(-limits[0], limits[1]) <= FLOAT_LIMIT:
        return reduce(graph, "ReduceMax", x, -1)
    upper = reduce(graph, "ReduceMax", graph.op("BitwiseAnd", x, np.int32(-1 << 16)), -1)
    lower = graph.op("Max", graph.op("Sub", x, upper), np.int32(0))
    return graph.op("Add", upper, reduce(graph, "ReduceMax", lower, -1))


def bit_length(graph: OnnxGraph, x: str, largest: int) -> str:
    """Write the bit length of int32 numbers [..., 1] from 0 to ``largest``: the count of powers of two not above it."""
    powers = np.int64(1) << np.arange(largest.bit_length())
    if largest <= FLOAT_LIMIT:
        return _count_reached(graph, x, powers)
    half = 1 << 16
    lower = _count_reached(graph, graph.op("Min", x, np.int32(half - 1)), powers[powers < half])
    upper = _count_reached(graph, graph.op("BitwiseAnd", x, np.int32(-half)), powers[powers >= half])
    return graph.op("Add", lower, upper)


def _count_reached(graph: OnnxGraph, x: str, powers: Int64) -> str:
    reached = graph.op("GreaterOrEqual", x, powers.astype(np.int32))
    return reduce(graph, "ReduceSum", graph.cast(reached, np.int32), -1)


def divide(graph: OnnxGraph, x: str, y: str) -> tuple[str, str]:
    """Write ``⌊x / y⌋`` and the remainder for int32 numbers x ≥ 0 and y > 0 with a quotient of at most 2^20.

    The quotient of a runtime that divides in float32 may be one too small or too large; its remainder tells.
    """
    quotient = graph.op("Div", x, y)
    rest = graph.op("Sub", x, graph.op("Mul", quotient, y))
    zero = np.int32(0)
    # −1 for a quotient that is too large, 1 for one that is too small.
    below = graph.cast(graph.op("Less", rest, zero), np.int32)
    inside = graph.cast(graph.op("Less", graph.op("Sub", rest, y), zero), np.int32)
    step = graph.op("Sub", graph.op("Sub", np.int32(1), inside), below)
    return graph.op("Add", quotient, step), graph.op("Sub", rest, graph.op("Mul", step, y))


def by_index(graph: OnnxGraph, table: Int64, index: str) -> str:
    """Write the lookup of int32 indices in a small constant int32 table with ``Gather``, for one number per row."""
    return graph.op("Gather", np.asarray(table, dtype=np.int64).astype(np.int32), index)


def lookup(graph: OnnxGraph, table: np.ndarray, index: str, shape: tuple[int, ...]) -> str:
    """Write the lookup of a large index tensor [B, *shape] in a constant table.

    It uses ``GatherElements`` on flat tensors, because ONNX Runtime's ``Gather`` takes three times as long.
    """
    flat = graph.op("Reshape", index, np.array([-1]))
    return graph.op("Reshape", graph.op("GatherElements", table, flat, axis=0), np.array([-1, *shape]))
