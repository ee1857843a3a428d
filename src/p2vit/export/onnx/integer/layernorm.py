"""LayerNorm: the operator's five steps, with the constants of each row read from tables.

Two shifts depend on the row: k before the squares, and j after them. Both follow from bit lengths, so their powers of
two, rounding constants and offsets are tables of 32 entries.
"""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import IntType, bit_length, by_index, clamp, compact
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT, MANTISSA_BITS, TABLE_FIRST, squares_shift
from p2vit.numerics.rounding import int_range
from p2vit.numerics.rounding import shift_round as shift_integers

LENGTHS = np.arange(32)
#: Smallest j, for a sum of squares of 1.
LEAST_J = (1 - MANTISSA_BITS) >> 1
#: 2^30 is added to a product of at most that magnitude, so that it is not negative. It is a multiple of every row's
#: power of two.
PRODUCT_LIFT = 30


@lowers(LayerNorm)
def layernorm(operator: LayerNorm, at: Lowering) -> Value:
    """Write the centring, the sum of squares, the product with the inverse square root, and the re-quantization."""
    normal, k_index = normalised(operator, at)
    factor, j_index = inverse_root(operator, at, normal, k_index)
    centred = at.graph.op("Sub", normal, np.int32(1 << CENTRED_BITS))
    return scaled(operator, at, centred, factor, j_index)


def normalised(operator: LayerNorm, at: Lowering) -> tuple[str, str]:
    """Write steps 1 and 2: ``d + 2^14``, int32 [..., C], and the bit length from which k follows, [..., 1]."""
    graph, channels = at.graph, operator.channels
    x = at.inputs[0].wide
    if operator.input_shift.any():
        low, high = int_range(operator.input_bits, signed=True)
        left = np.minimum(operator.input_shift.astype(np.int64), operator.input_bits)
        # Clamped before the shift, so that it cannot overflow; the upper limit is clamped again after it.
        inside = graph.op("Min", x, compact(-(-np.int64(high) >> left), np.int32))
        inside = graph.op("Max", inside, compact(np.int64(low) >> left, np.int32))
        x = clamp(graph, graph.op("Mul", inside, compact(np.int64(1) << left, np.int32)), (low, high))
    elif at.inputs[0].spec.bits > operator.input_bits:
        x = clamp(graph, x, int_range(operator.input_bits, signed=True))
    last = np.array([-1])
    # Relative to the row's minimum no value is negative, and C times the largest is below 2^30.
    above = graph.op("Sub", x, graph.op("ReduceMin", x, last, keepdims=1))
    total = graph.op("ReduceSum", above, last, keepdims=1)
    top = graph.op("Mul", graph.op("ReduceMax", above, last, keepdims=1), np.int32(channels))
    largest = graph.op("Max", total, graph.op("Sub", top, total))
    index = bit_length(graph, largest)
    k = np.maximum(LENGTHS - CENTRED_BITS, operator.epsilon_shift)
    left, right = np.maximum(-k, 0), np.maximum(k, 0)
    longest = (channels * ((1 << operator.input_bits) - 1)).bit_length()
    used = longest >= LENGTHS
    wide: IntType = np.int32 if right[used].max() + CENTRED_BITS + 1 <= 30 else np.int64
    lift = ((np.int64(1) << right) >> 1) + (np.int64(1) << (right + CENTRED_BITS))

    def row(table: np.ndarray) -> str:
        return by_index(graph, np.where(used, table, 0), index, wide)

    if wide is np.int64:
        above, total = graph.cast(above, wide), graph.cast(total, wide)
    # (C·a − Σa) · 2^left + lift, as a · (C · 2^left) + (lift − Σa · 2^left).
    product = graph.op("Mul", above, row(channels * (np.int64(1) << left)))
    constant = graph.op("Sub", row(lift), graph.op("Mul", total, row(np.int64(1) << left)))
    divisor = by_index(graph, np.where(used, np.int64(1) << right, 1), index, wide)
    normal = graph.op("Div", graph.op("Add", product, constant), divisor)
    return (graph.cast(normal, np.int32) if wide is np.int64 else normal), index


def inverse_root(operator: LayerNorm, at: Lowering, normal: str, k_index: str) -> tuple[str, str]:
    """Write steps 3 and 4: the factor of the table, and the bit length from which j follows, both int32 [..., 1]."""
    graph = at.graph
    t = squares_shift(operator.channels)
    half = (1 << t) >> 1
    reduced = graph.op("Add", normal, np.int32(half)) if half else normal
    if t:
        reduced = graph.op("Div", reduced, np.int32(1 << t))
    reduced = graph.op("Sub", reduced, np.int32((1 << CENTRED_BITS) >> t))
    squares = graph.op("ReduceSumSquare", reduced, np.array([-1]), keepdims=1)
    k = np.maximum(LENGTHS - CENTRED_BITS, operator.epsilon_shift)
    epsilon = shift_integers(np.full(32, operator.epsilon), 2 * (k - operator.epsilon_shift))
    total = graph.op("Max", graph.op("Add", squares, by_index(graph, epsilon, k_index)), np.int32(1))
    index = bit_length(graph, total)
    j = (LENGTHS - MANTISSA_BITS) >> 1
    # total · 2^-2j and its top bits, as one product and one division; at most one of them changes the number.
    raised = graph.op(
        "Mul", total, by_index(graph, np.int64(1) << np.minimum(np.maximum(-2 * j, 0), 28), index)
    )
    lowered = np.int64(1) << (np.maximum(2 * j, 0) + INDEX_SHIFT)
    entry = graph.op("Div", raised, by_index(graph, lowered, index))
    table = np.concatenate([np.zeros(TABLE_FIRST, np.int64), operator.table.astype(np.int64)])
    return by_index(graph, table, entry), index


def scaled(operator: LayerNorm, at: Lowering, centred: str, factor: str, index: str) -> Value:
    """Write step 5: ``requantize(d · r, shift + j)``, with the shift split into a row's and a channel's part.

    For every g below s::

        floor((p + 2^(s+j−1)) / 2^(s+j)) = floor((floor(p / 2^(j+g)) + 2^(s−g−1)) / 2^(s−g))

    so the row's part needs no rounding. If j + g is negative, the row is multiplied instead; the factor r contains
    this, and the product is below 2^(t+31−g).
    """
    graph = at.graph
    shift = operator.shift.astype(np.int64)
    t = squares_shift(operator.channels)
    split = min(-LEAST_J, int(shift.min()) - 1)
    assert split > t, "a LayerNorm's shifts are 14 and more"
    j = np.clip((LENGTHS - MANTISSA_BITS) >> 1, LEAST_J, 1)
    left, right = np.maximum(-(j + split), 0), np.maximum(j + split, 0)
    if left.any():
        factor = graph.op("Mul", factor, by_index(graph, np.int64(1) << left, index))
    product = graph.op("Mul", centred, factor)
    lifted = graph.op("Add", product, np.int32(1 << PRODUCT_LIFT))
    floored = graph.op("Div", lifted, by_index(graph, np.int64(1) << right, index))
    floored = graph.op("Sub", floored, by_index(graph, np.int64(1) << (PRODUCT_LIFT - right), index))
    limit = 1 << min(PRODUCT_LIFT, t + 31 - split)
    return requantize(graph, at.spec, floored, -limit, limit, shift - split)
