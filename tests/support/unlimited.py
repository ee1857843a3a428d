"""Every operator on Python's integers, which have no width, with the least and largest value of each register.

Written from docs/reference/numerics.md, register by register; NumPy serves as a container of Python integers only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    LayerNorm,
    Linear,
    Multiply,
    Operator,
    Rotary,
    ScoreBias,
    Scores,
    Softmax,
    SumTokens,
)

Registers = dict[str, tuple[int, int]]


class Trace:
    """Least and largest value that each register has held."""

    def __init__(self) -> None:
        self.registers: Registers = {}

    def see(self, name: str, *values: Any) -> None:
        """Count values of a register."""
        numbers = [int(number) for value in values for number in np.asarray(value, object).ravel()]
        low, high = self.registers.get(name, (numbers[0], numbers[0]))
        self.registers[name] = (min(low, *numbers), max(high, *numbers))


def big(x: Any) -> Any:
    """An array of Python integers."""
    return np.asarray(x).astype(object)


def half(shift: int) -> int:
    """What a right shift adds before it cuts."""
    return (1 << shift) >> 1 if shift > 0 else 0


def lifted(x: Any, shift: Any) -> Any:
    """``x`` shifted left, or with its rounding half, as it stands before the right shift."""
    return np.frompyfunc(lambda v, s: (v << -s) if s < 0 else v + half(s), 2, 1)(big(x), big(shift))


def shifted(x: Any, shift: Any) -> Any:
    """Round half up."""
    return np.frompyfunc(lambda v, s: v if s < 0 else v >> s, 2, 1)(lifted(x, shift), big(shift))


def saturated(x: Any, bits: int) -> Any:
    """Clamp to a signed width."""
    top = (1 << (bits - 1)) - 1
    return np.frompyfunc(lambda v: min(max(v, -top - 1), top), 1, 1)(big(x))


def lengths(x: Any) -> Any:
    """Bits of each number."""
    return np.frompyfunc(lambda v: int(v).bit_length(), 1, 1)(big(x))


def linear(op: Linear, trace: Trace, x: Any) -> Any:
    bare = big(x) @ big(op.weight).T
    total = bare + big(op.bias)
    trace.see("accumulator", bare, total)
    if op.output_bits == 32:
        return total
    trace.see("accumulator", lifted(total, op.shift))
    return saturated(shifted(total, op.shift), op.output_bits)


def assemble(op: AssembleTokens, trace: Trace, x: Any) -> Any:
    total = big(x) + big(op.position)
    trace.see("accumulator", total)
    prefix = np.repeat(big(op.prefix)[None], len(x), axis=0)
    return np.concatenate([prefix, saturated(total, op.output_bits)], axis=1)


def layernorm(op: LayerNorm, trace: Trace, x: Any) -> Any:
    a = saturated(shifted(x, -big(op.input_shift)), op.input_bits)
    total = a.sum(axis=-1, keepdims=True)
    centred = op.channels * a - total
    trace.see("accumulator", total, op.channels * a, centred)
    largest = np.abs(centred).max(axis=-1, keepdims=True)
    k = np.maximum(lengths(largest) - 14, op.epsilon_shift)
    if (k > 0).any():  # to the left it is the normalised value already
        trace.see("accumulator", lifted(centred, k))
    normal = shifted(centred, k)
    t = 0
    while op.channels << (2 * (14 - t)) > 1 << 30:
        t += 1
    reduced = shifted(normal, t)
    down = 2 * (k - op.epsilon_shift)
    epsilon = shifted(op.epsilon, down)
    trace.see("epsilon", lifted(op.epsilon, np.minimum(down, 31)))
    squares = (reduced * reduced).sum(axis=-1, keepdims=True) + epsilon
    trace.see("normal", normal, reduced)
    trace.see("squares", squares)
    squares = np.maximum(squares, 1)
    j = np.frompyfunc(lambda n: (n - 29) >> 1, 1, 1)(lengths(squares))
    mantissa = np.frompyfunc(lambda v, s: v >> 2 * s if s >= 0 else v << -2 * s, 2, 1)(squares, j)
    trace.see("mantissa", mantissa)
    factor = big(op.table)[((mantissa >> 20) - 256).astype(int)]
    product = normal * factor
    trace.see("product", product, lifted(product, big(op.shift) + j))
    return saturated(shifted(product, big(op.shift) + j), op.output_bits)


def heads(x: Any, count: int, windows: int) -> Any:
    batch, tokens, channels = x.shape
    split = big(x).reshape(batch, windows, tokens // windows, count, channels // count)
    return split.transpose(0, 3, 1, 2, 4)


def scores(op: Scores, trace: Trace, q: Any, k: Any) -> Any:
    products = heads(q, op.heads, op.windows) @ heads(k, op.heads, op.windows).swapaxes(-1, -2)
    trace.see("accumulator", products)
    return products.reshape(*products.shape[:2], -1, products.shape[-1])


def score_bias(op: ScoreBias, trace: Trace, s: Any) -> Any:
    batch, count, rows, keys = s.shape
    windows = big(s).reshape(batch, count, rows // keys, keys, keys) + big(op.bias)[:, None]
    if op.mask is not None:
        trace.see("accumulator", windows)
        windows = np.where(op.mask, big(op.masked)[:, None, None, None], windows)
    trace.see("accumulator", windows)
    return windows.reshape(s.shape)


def softmax(op: Softmax, trace: Trace, s: Any) -> Any:
    from p2vit.numerics.softmax import EXP2_TABLE

    shift = big(op.shift)[:, None, None]
    top = big(s).max(axis=-1, keepdims=True)
    distance = top - big(s)
    trace.see("accumulator", distance, -distance)
    trace.see("maximum", s, top + np.frompyfunc(half, 1, 1)(shift))
    trace.see("distance", lifted(distance, shift))
    product = np.minimum(shifted(distance, shift), 65535) * 23637
    trace.see("product", product)
    u = product >> 15
    if op.form == "log2":
        return np.minimum((u + 1024) >> 11, 15)
    mantissa = big(EXP2_TABLE)[((u >> 4) & 127).astype(int)]
    return np.minimum(shifted(mantissa, 7 + (u >> 11)), 255)


def attention_values(op: AttentionValues, trace: Trace, codes: Any, v: Any) -> Any:
    batch, count, rows, keys = codes.shape
    weight = big(codes)
    if op.form == "log2":
        weight = np.frompyfunc(lambda c: 1 << (op.guard - c) if c <= op.guard else 0, 1, 1)(weight)
    grouped = weight.reshape(batch, count, op.windows, -1, keys)
    products = (grouped @ heads(v, op.heads, op.windows)).reshape(batch, count, rows, -1)
    total = weight.sum(axis=-1, keepdims=True)
    n = lengths(total)
    trace.see("accumulator", products, lifted(products, n - 8))
    trace.see("sum", total)
    numerator = np.frompyfunc(lambda b: 1 << (b + 14), 1, 1)(n)
    trace.see("numerator", numerator)
    reciprocal = numerator // total
    trace.see("reciprocal", reciprocal)
    reduced = shifted(products, n - 8)
    trace.see("reduced", reduced)
    merged = (reduced * reciprocal).transpose(0, 2, 1, 3).reshape(batch, rows, -1)
    shift = big(op.shift) + 22
    trace.see("product", merged, lifted(merged, shift))
    return saturated(shifted(merged, shift), op.output_bits)


def add(op: Add, trace: Trace, a: Any, b: Any) -> Any:
    left, right = lifted(a, -big(op.left_a)), lifted(b, -big(op.left_b))
    trace.see("operands", left, right)
    trace.see("accumulator", left + right, lifted(left + right, op.shift))
    return saturated(shifted(left + right, op.shift), op.output_bits)


def sum_tokens(op: SumTokens, trace: Trace, x: Any) -> Any:
    total = big(x[:, op.first : op.first + op.count]).sum(axis=1, keepdims=True)
    trace.see("accumulator", total, lifted(total, op.shift))
    return saturated(shifted(total, op.shift), op.output_bits)


def affine(op: Affine, trace: Trace, x: Any) -> Any:
    product = big(x) * big(op.gain)
    total = product + big(op.bias)
    trace.see("accumulator", product, total, lifted(total, op.shift))
    return saturated(shifted(total, op.shift), op.output_bits)


def rotary(op: Rotary, trace: Trace, x: Any) -> Any:
    cosine, sine = (big(table) for table in op.tables(x.shape[-1]))
    a, b = big(x[..., 0::2]), big(x[..., 1::2])
    total = np.stack([a * cosine - b * sine, a * sine + b * cosine], axis=-1).reshape(x.shape)
    trace.see("accumulator", total, lifted(total, op.shift))
    return saturated(shifted(total, op.shift), op.output_bits)


def multiply(op: Multiply, trace: Trace, a: Any, b: Any) -> Any:
    gate = big(a) + big(op.offset)
    product = gate * big(b)
    trace.see("gate", gate)
    trace.see("accumulator", product, lifted(product, op.shift))
    return saturated(shifted(product, op.shift), op.output_bits)


STEPS: dict[type[Operator], Callable[..., Any]] = {
    Linear: linear,
    AssembleTokens: assemble,
    LayerNorm: layernorm,
    Scores: scores,
    ScoreBias: score_bias,
    Softmax: softmax,
    AttentionValues: attention_values,
    Add: add,
    SumTokens: sum_tokens,
    Affine: affine,
    Rotary: rotary,
    Multiply: multiply,
}


def unlimited(operator: Operator, *inputs: Any) -> tuple[Any, Registers]:
    """Output of an operator as Python integers, and what its registers have held."""
    trace = Trace()
    return STEPS[type(operator)](operator, trace, *inputs), trace.registers
