"""LayerNorm: the operator's five steps, with the constants of each row read from tables.

Two shifts depend on the row: k before the squares, and j after them. Both follow from bit lengths, so their powers of
two, rounding constants and offsets are tables of 32 entries.
"""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import (
    bit_length,
    by_index,
    clamp,
    compact,
    reduce,
    shift_round,
    shift_rows,
    total,
)
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import (
    CENTRED_BITS,
    ENTRY_BITS,
    EPSILON_BITS,
    INDEX_SHIFT,
    MANTISSA_BITS,
    SQUARES_BITS,
    TABLE_FIRST,
    squares_shift,
)
from p2vit.numerics.rounding import int_range
from p2vit.numerics.rounding import shift_round as shift_integers

LENGTHS = np.arange(32)
#: Smallest j, for a sum of squares of 1.
LEAST_J = (1 - MANTISSA_BITS) >> 1


@lowers(LayerNorm)
def layernorm(operator: LayerNorm, at: Lowering) -> Value:
    """Write the centring, the sum of squares, the product with the inverse square root, and the re-quantization."""
    normal, k_index = normalised(operator, at)
    factor, j_index = inverse_root(operator, at, normal, k_index)
    return scaled(operator, at, normal, factor, j_index)


def normalised(operator: LayerNorm, at: Lowering) -> tuple[str, str]:
    """Write steps 1 and 2: d, int32 [..., C], and the bit length from which k follows, [..., 1]."""
    graph, channels = at.graph, operator.channels
    x = at.inputs[0].wide
    if operator.input_shift.any():
        low, high = int_range(operator.input_bits, signed=True)
        left = np.minimum(operator.input_shift.astype(np.int64), operator.input_bits)
        # Clamped before the shift, so that it cannot overflow; the upper limit is clamped again after it.
        inside = graph.op("Min", x, compact(-(-np.int64(high) >> left)))
        inside = graph.op("Max", inside, compact(np.int64(low) >> left))
        x = clamp(graph, graph.op("Mul", inside, compact(np.int64(1) << left)), (low, high))
    elif at.inputs[0].spec.bits > operator.input_bits:
        x = clamp(graph, x, int_range(operator.input_bits, signed=True))
    # Relative to the row's minimum no value is negative, and C times the largest is below 2^30.
    above = graph.op("Sub", x, reduce(graph, "ReduceMin", x, -1))
    widest = (1 << operator.input_bits) - 1
    summed = total(graph, above, -1, channels, (0, widest))
    top = graph.op("Mul", reduce(graph, "ReduceMax", above, -1), np.int32(channels))
    largest = graph.op("Max", summed, graph.op("Sub", top, summed))
    index = bit_length(graph, largest, channels * widest)
    k = np.maximum(LENGTHS - CENTRED_BITS, operator.epsilon_shift)
    left, right = np.maximum(-k, 0), np.maximum(k, 0)
    # No magnitude is above 2^30, so a shift by 31 gives 0: such rows are multiplied by 0, and so are lengths that no
    # row has.
    used = ((channels * widest).bit_length() >= LENGTHS) & (right < 31)
    right = np.where(used, right, 0)
    half = (np.int64(1) << right) >> 1
    # (C·a − Σa) · 2^left + half, as a · (C · 2^left) + (half − Σa · 2^left).
    product = graph.op("Mul", above, by_index(graph, np.where(used, channels << left, 0), index))
    taken = graph.op("Mul", summed, by_index(graph, np.where(used, np.int64(1) << left, 0), index))
    constant = graph.op("Sub", by_index(graph, half, index), taken)
    return shift_rows(graph, graph.op("Add", product, constant), right, index), index


def inverse_root(operator: LayerNorm, at: Lowering, normal: str, k_index: str) -> tuple[str, str]:
    """Write steps 3 and 4: the factor of the table, and the bit length from which j follows, both int32 [..., 1]."""
    graph = at.graph
    t, limit = squares_shift(operator.channels), 1 << CENTRED_BITS
    reduced = shift_round(graph, normal, -limit, limit, t)
    largest = (1 << SQUARES_BITS) + (1 << EPSILON_BITS)
    squared = graph.op("Mul", reduced, reduced)
    squares = total(graph, squared, -1, operator.channels, (0, (limit >> t) ** 2), 1 << SQUARES_BITS)
    k = np.maximum(LENGTHS - CENTRED_BITS, operator.epsilon_shift)
    epsilon = shift_integers(np.full(32, operator.epsilon), 2 * (k - operator.epsilon_shift))
    summed = graph.op("Max", graph.op("Add", squares, by_index(graph, epsilon, k_index)), np.int32(1))
    index = bit_length(graph, summed, largest)
    j = (LENGTHS - MANTISSA_BITS) >> 1
    # The sum · 2^-2j and its top bits, as one product and one shift; at most one of them changes the number.
    raised = graph.op(
        "Mul", summed, by_index(graph, np.int64(1) << np.minimum(np.maximum(-2 * j, 0), 28), index)
    )
    entry = shift_rows(graph, raised, np.maximum(2 * j, 0) + INDEX_SHIFT, index)
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
    floored = shift_rows(graph, graph.op("Mul", centred, factor), right, index)
    limit = 1 << min(CENTRED_BITS + ENTRY_BITS, t + 31 - split)
    return requantize(graph, at.spec, floored, -limit, limit, shift - split)
