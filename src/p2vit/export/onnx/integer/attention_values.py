"""Attention × values, with the division by the row sum after it."""

import numpy as np

from p2vit.export.onnx.common.heads import heads_first
from p2vit.export.onnx.integer.matmul import product, right_operand, row_sums
from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.requantize import requantize
from p2vit.export.onnx.integer.shifts import bit_length, by_index, clamp, divide, shift_rows
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import AttentionValues, Softmax
from p2vit.numerics.attention_values import QUOTIENT_BITS, QUOTIENT_FRACTION, RECIPROCAL_FRACTION
from p2vit.numerics.softmax import LARGEST_LINEAR_CODE, LARGEST_LOG2_CODE

#: Bits of the accumulator's magnitude after its first shift, and bound of its product with the reciprocal; see
#: AttentionValues.
REDUCED_BITS = QUOTIENT_BITS + 7
QUOTIENT_LIMIT = (1 << (REDUCED_BITS + RECIPROCAL_FRACTION)) + (1 << (RECIPROCAL_FRACTION + 1))


#: Bits of a byte. The values of log2 codes have up to 16 bits, so they are split into two bytes.
BYTE = 8


@lowers(AttentionValues)
def attention_values(operator: AttentionValues, at: Lowering) -> Value:
    """Write the product, the row sum, one reciprocal per row, and two rounding shifts.

    The shift by ``n − 8`` depends on the row. Its constants are read from tables, with n as the index.
    """
    source = at.program.node(at.node.inputs[0]).operator
    if not isinstance(source, Softmax) or source.form != operator.form:
        raise at.error(f"codes come from {at.node.inputs[0]}; expected a Softmax of form {operator.form!r}")
    graph, keys = at.graph, at.inputs[0].spec.shape[2]
    accumulator, total = weighted_sums(operator, at)
    largest = keys * (LARGEST_LINEAR_CODE if operator.form == "linear" else 1 << operator.guard)
    bits = largest.bit_length()
    n = bit_length(graph, total, largest)
    lengths = np.arange(32)
    # Every row has the largest code, so n is at least QUOTIENT_BITS and the shift is never to the left.
    shift = np.where(lengths <= bits, np.maximum(lengths - QUOTIENT_BITS, 0), 0)
    raised = graph.op("Add", accumulator, by_index(graph, (np.int64(1) << shift) >> 1, n))
    quotient = graph.op("Mul", shift_rows(graph, raised, shift, n), reciprocal(at, total, n, bits))
    per_head = (operator.shift.astype(np.int64) + QUOTIENT_FRACTION).reshape(operator.heads, 1, -1)
    value = requantize(graph, at.spec, quotient, -QUOTIENT_LIMIT, QUOTIENT_LIMIT, per_head)
    form = "biased" if at.spec.bits <= 8 else "wide"
    rows = graph.op("Transpose", value.form(form), perm=[0, 2, 1, 3])
    return Value(graph, at.spec, **{form: graph.op("Reshape", rows, np.array([0, *at.spec.shape]))})


def reciprocal(at: Lowering, total: str, n: str, bits: int) -> str:
    """Write ``⌊2^(n+14) / sum⌋`` per row, int32, by long division: as many digits at a time as int32 holds."""
    graph = at.graph
    power = by_index(graph, np.int64(1) << np.minimum(np.arange(32), min(bits, 30)), n)
    quotient, rest = divide(graph, power, total)
    done = 0
    while done < RECIPROCAL_FRACTION:
        # The rest is below the sum, and so below 2^bits.
        step = min(30 - bits, RECIPROCAL_FRACTION - done)
        digits, rest = divide(graph, graph.op("Mul", rest, np.int32(1 << step)), total)
        quotient = graph.op("Add", graph.op("Mul", quotient, np.int32(1 << step)), digits)
        done += step
    return quotient


def weighted_sums(operator: AttentionValues, at: Lowering) -> tuple[str, str]:
    """Write Σ p·v, int32 [B, H, N, D], and Σ p, int32 [B, H, N, 1].

    The value of a ``log2`` code is a power of two of up to 16 bits. Its upper and its lower byte are multiplied
    separately.
    """
    graph, (codes, v) = at.graph, at.inputs
    keys, width, depth = v.spec.shape[0], v.spec.shape[1] // operator.heads, codes.spec.shape[2]
    values = heads_first(graph, right_operand(v, at.products), keys, operator.heads, operator.windows)

    def sums(weights: str) -> tuple[str, str]:
        row = row_sums(graph, weights, depth)
        if operator.windows == 1:
            return product(graph, weights, 0, values, depth, at.products), row
        heads, queries, count = codes.spec.shape
        grouped = np.array([-1, heads, operator.windows, queries // operator.windows, count])
        mixed = product(graph, graph.op("Reshape", weights, grouped), 0, values, depth, at.products)
        return graph.op("Reshape", mixed, np.array([-1, *codes.spec.shape[:2], width])), row

    if operator.form == "linear":
        return sums(codes.biased)
    powers = operator.weights_of(np.arange(LARGEST_LOG2_CODE + 1))
    index = clamp(graph, codes.wide, (0, LARGEST_LOG2_CODE))
    parts = []
    for shift in (BYTE, 0):
        entries = ((powers >> shift) & 255).astype(np.uint8)
        flat = graph.op("Reshape", index, np.array([-1]))
        byte = graph.op(
            "Reshape", graph.op("GatherElements", entries, flat, axis=0), np.array([-1, *codes.spec.shape])
        )
        parts.append(sums(byte))
    (high, high_sum), (low, low_sum) = parts
    scale = np.int32(1 << BYTE)
    return tuple(  # type: ignore[return-value]
        graph.op("Add", graph.op("Mul", upper, scale), lower)
        for upper, lower in ((high, low), (high_sum, low_sum))
    )
