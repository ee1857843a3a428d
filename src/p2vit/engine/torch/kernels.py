"""Integer operators on torch tensors: the same integers as ``numerics``, fast enough for whole photo sets.

Matrix products go through ``torch._int_mm`` for every shape that it has shown to compute exactly, otherwise
through float32 products of slices short enough that every partial sum is an integer of at most 2^24, which
float32 holds exactly.
"""

from functools import lru_cache, singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Operator,
    Patchify,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT, TABLE_FIRST, squares_shift
from p2vit.numerics.rounding import IntArray, int_range
from p2vit.numerics.softmax import EXP2_TABLE, LOG2_E, OCTAVE_FRACTION, TABLE_BITS

EXACT_FLOAT32 = 1 << 24


class Parameters:
    """Torch copies of one operator's integer arrays, made once and kept for as long as the executor lives."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self._tensors: dict[str, Any] = {}

    def int32(self, name: str) -> Tensor:
        """An array parameter as int32."""
        return self.made(name, lambda: as_tensor(getattr(self.operator, name)).to(torch.int32))

    def made(self, name: str, make: Any) -> Any:
        """Anything derived from the parameters, computed at first use."""
        if name not in self._tensors:
            self._tensors[name] = make()
        return self._tensors[name]


def as_tensor(array: IntArray) -> Tensor:
    """A torch copy; uint16 has no arithmetic in torch and becomes int32."""
    return torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array.copy())


def shift_round(x: Tensor, shift: Tensor) -> Tensor:
    """Round-half-up shift, right where positive; int32 in, int32 out."""
    right, left = shift.clamp(min=0), (-shift).clamp(min=0)
    half = torch.where(right > 0, torch.ones_like(right) << (right - 1).clamp(min=0), torch.zeros_like(right))
    return ((x << left) + half) >> right


def narrow(x: Tensor, bits: int) -> Tensor:
    """Saturate to a signed width, in the dtype that stores it."""
    low, high = int_range(bits, signed=True)
    return x.clamp_(low, high).to(torch.int8 if bits <= 8 else torch.int16)


def bit_length(x: Tensor) -> Tensor:
    """Bits of non-negative int32 numbers, through float64's exponent, which is exact below 2^53."""
    return torch.frexp(x.to(torch.float64)).exponent


@lru_cache(maxsize=4096)
def int_mm_is_exact(rows: int, inputs: int, outputs: int) -> bool:
    """Whether ``torch._int_mm`` computes int8 products [M, K] × [K, N] of this shape exactly on this machine.

    Which kernel runs depends on the shape, and some are wrong: with one input on every CPU that we have seen,
    and where int8 kernels saturate inside, on CPUs without VNNI. So every shape is tried once, at first use:
    rows and columns of all −128, of all 127 and of the full range meet each other.
    """
    generator = torch.Generator().manual_seed(0)

    def operand(count: int) -> Tensor:
        numbers = torch.randint(-128, 128, (count, inputs), dtype=torch.int8, generator=generator)
        numbers[1::4], numbers[2::4] = -128, 127
        return numbers

    a, b = operand(rows), operand(outputs).t()
    try:
        found = torch._int_mm(a, b)
    except RuntimeError:
        return False
    return torch.equal(found, sliced_matmul(a, b.float()))


def sliced_matmul(x: Tensor, dense: Tensor) -> Tensor:
    """int8 [M, K] × float32 [K, N] of int8 numbers → int32 [M, N]: exact, slice by slice of K."""
    size = EXACT_FLOAT32 // (128 * 128)
    total = (x[:, :size].float() @ dense[:size]).to(torch.int32)
    for start in range(size, x.shape[1], size):
        total += (x[:, start : start + size].float() @ dense[start : start + size]).to(torch.int32)
    return total


def matmul(x: Tensor, weight: Tensor, weight_float: Any) -> Tensor:
    """int8 [M, K] × int8 [K, N] → int32 [M, N], exact."""
    if not len(x) or int_mm_is_exact(*x.shape, weight.shape[1]):
        return torch._int_mm(x, weight)
    return sliced_matmul(x, weight_float())


def heads_first(x: Tensor, heads: int, windows: int = 1) -> Tensor:
    """[B, W·N, H·D] → [B, H, W, N, D], or [B, H, N, D] for one window."""
    batch, tokens, channels = x.shape
    if windows == 1:
        return x.view(batch, tokens, heads, channels // heads).transpose(1, 2)
    return x.view(batch, windows, tokens // windows, heads, channels // heads).permute(0, 3, 1, 2, 4)


@singledispatch
def compute(operator: Operator, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    """The operator's integers on torch tensors; equal to ``operator.compute``."""
    raise NotImplementedError(f"no torch kernel for {type(operator).__name__}")


@compute.register
def _(operator: Patchify, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    pixels = inputs[0]
    batch, height, width, channels = pixels.shape
    p = operator.patch_size
    grid = pixels.view(batch, height // p, p, width // p, p, channels).permute(0, 1, 3, 2, 4, 5)
    flat = grid.reshape(batch, (height // p) * (width // p), p * p * channels)
    return (flat ^ 128).view(torch.int8)


@compute.register
def _(operator: Linear, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    x = inputs[0]
    weight = parameters.made("transposed", lambda: as_tensor(operator.weight).t())
    dense = lambda: parameters.made("dense", lambda: weight.float())  # noqa: E731
    accumulator = matmul(x.reshape(-1, x.shape[-1]), weight, dense)
    if operator.output_bits == 32:
        out = accumulator.add_(parameters.int32("bias"))
    else:
        shift = parameters.int32("shift")
        if bool(parameters.made("all right", lambda: bool((shift > 0).all()))):
            rounding = parameters.made(
                "rounding", lambda: parameters.int32("bias") + (torch.ones_like(shift) << (shift - 1))
            )
            accumulator.add_(rounding).bitwise_right_shift_(shift)
        else:
            accumulator = shift_round(accumulator.add_(parameters.int32("bias")), shift)
        out = narrow(accumulator, operator.output_bits)
    return out.view(*x.shape[:-1], -1)


@compute.register
def _(operator: AssembleTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    total = inputs[0].to(torch.int32) + parameters.int32("position")
    patches = narrow(total, operator.output_bits)
    prefix = parameters.made("prefix", lambda: as_tensor(operator.prefix))
    return torch.cat([prefix.expand(len(patches), -1, -1), patches], dim=1)


@compute.register
def _(operator: LayerNorm, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    aligned = inputs[0].to(torch.int32)
    if operator.input_bits < 16 or bool(operator.input_shift.any()):
        low, high = int_range(operator.input_bits, signed=True)
        aligned = (aligned << parameters.int32("input_shift")).clamp_(low, high)
    centred = (aligned * operator.channels).sub_(aligned.sum(dim=-1, keepdim=True, dtype=torch.int32))
    largest = centred.abs().amax(dim=-1, keepdim=True)
    k = (bit_length(largest) - CENTRED_BITS).clamp(min=operator.epsilon_shift)
    normal = shift_round(centred, k)
    t = squares_shift(operator.channels)
    reduced = (normal + ((1 << t) >> 1)) >> t
    squares = (reduced * reduced).sum(dim=-1, keepdim=True, dtype=torch.int32)
    epsilon = shift_round(
        torch.full_like(squares, operator.epsilon), (2 * (k - operator.epsilon_shift)).clamp(max=31)
    )
    total = (squares + epsilon).clamp_(min=1)
    j = (bit_length(total) - 29) >> 1
    mantissa = (total >> (2 * j).clamp(min=0)) << (-2 * j).clamp(min=0)
    factor = parameters.int32("table")[((mantissa >> INDEX_SHIFT) - TABLE_FIRST).long()]
    return narrow(shift_round(normal * factor, parameters.int32("shift") + j), operator.output_bits)


@compute.register
def _(operator: Scores, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    q, k = (heads_first(x, operator.heads, operator.windows).float() for x in inputs)
    size = EXACT_FLOAT32 // (128 * 128)
    parts = [
        (q[..., i : i + size] @ k[..., i : i + size].transpose(-1, -2)).to(torch.int32)
        for i in range(0, operator.head_dim, size)
    ]
    products = parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0, dtype=torch.int32)
    return products.reshape(*products.shape[:2], -1, products.shape[-1])


@compute.register
def _(operator: ScoreBias, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    keys = inputs[0].shape[-1]
    scores = inputs[0].unflatten(2, (-1, keys)) + parameters.int32("bias")[:, None]
    if operator.mask is not None:
        mask = parameters.made("mask", lambda: torch.from_numpy(operator.mask))
        scores = torch.where(mask, parameters.int32("masked")[:, None, None, None], scores)
    return scores.flatten(2, 3)


@compute.register
def _(operator: Softmax, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    scores = inputs[0]
    shift = parameters.int32("shift")[:, None, None]
    distance = shift_round(scores.amax(dim=-1, keepdim=True) - scores, shift).clamp_(max=65535)
    # 65535 · 47274 needs 32 unsigned bits: multiply by half (47274 is even) and shift by one less.
    u = (distance * (LOG2_E >> 1)) >> 15
    if operator.form == "log2":
        return ((u + (1 << (OCTAVE_FRACTION - 1))) >> OCTAVE_FRACTION).clamp_(max=15).to(torch.uint8)
    table = parameters.made("codes", softmax_codes)
    return table[(u >> (OCTAVE_FRACTION - TABLE_BITS)).long()]


def softmax_codes() -> Tensor:
    """Code of every (whole, fraction index) pair: uint8 [3072], read with u >> 4."""
    u = np.arange((65535 * LOG2_E >> 16 >> (OCTAVE_FRACTION - TABLE_BITS)) + 1)
    mantissa = EXP2_TABLE.astype(np.int64)[u & ((1 << TABLE_BITS) - 1)]
    shift = 7 + (u >> TABLE_BITS)
    return torch.from_numpy(np.minimum((mantissa + (1 << (shift - 1))) >> shift, 255).astype(np.uint8))


@compute.register
def _(operator: AttentionValues, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    codes, v = inputs
    batch, heads, rows, keys = codes.shape
    split = heads_first(v, operator.heads, operator.windows)
    if operator.windows > 1:
        codes = codes.view(batch, heads, operator.windows, -1, keys)
    if operator.form == "log2":
        wide = codes.to(torch.int32)
        weights = torch.where(wide <= operator.guard, 1 << (operator.guard - wide).clamp(min=0), 0).double()
        accumulator = (weights @ split.double()).to(torch.int32)
        total = weights.sum(dim=-1, keepdim=True).to(torch.int32)
    else:
        values, weights = split.float(), codes.float()
        size = EXACT_FLOAT32 // (255 * 128)
        parts = [
            (weights[..., i : i + size] @ values[..., i : i + size, :]).to(torch.int32)
            for i in range(0, values.shape[-2], size)
        ]
        accumulator = parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0, dtype=torch.int32)
        total = codes.sum(dim=-1, keepdim=True, dtype=torch.int32)
    n = bit_length(total)
    reciprocal = torch.div(
        torch.ones_like(total, dtype=torch.int64) << (n + 14), total, rounding_mode="floor"
    ).to(torch.int32)
    product = (shift_round(accumulator, n - 8) * reciprocal).view(batch, heads, rows, -1)
    merged = product.transpose(1, 2).reshape(batch, rows, -1)
    return narrow(shift_round(merged, parameters.int32("shift") + QUOTIENT_FRACTION), operator.output_bits)


@compute.register
def _(operator: Lookup, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    table = parameters.made("table", lambda: as_tensor(operator.table.ravel()))
    index = (inputs[0].view(torch.uint8) ^ 128).to(torch.int32)
    if operator.groups > 1:
        channels = index.shape[-1]
        index += parameters.made(
            "group", lambda: as_tensor(operator.group_of(channels).astype(np.int32) * 256)
        )
    return table[index]


@compute.register
def _(operator: Add, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    a = inputs[0].to(torch.int32) << parameters.int32("left_a")
    b = inputs[1].to(torch.int32) << parameters.int32("left_b")
    return narrow(shift_round(a.add_(b), parameters.int32("shift")), operator.output_bits)


@compute.register
def _(operator: SelectToken, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    return inputs[0][:, operator.index : operator.index + 1].contiguous()


@compute.register
def _(operator: GatherTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    (x,) = inputs
    flat = parameters.made("flat", lambda: as_tensor(operator.index.reshape(-1)))
    if (operator.index < 0).any():
        fill = parameters.made(f"fill {x.dtype}", lambda: as_tensor(operator.fill).to(x.dtype))
        x = torch.cat([x, fill.expand(len(x), 1, -1)], dim=1)
        flat = parameters.made("wrapped", lambda: torch.where(flat < 0, x.shape[1] - 1, flat))
    return x.index_select(1, flat).view(len(x), len(operator.index), -1)


@compute.register
def _(operator: ConstantTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    tokens = parameters.made("tokens", lambda: as_tensor(operator.tokens))
    return tokens.expand(len(inputs[0]), -1, -1).contiguous()


@compute.register
def _(operator: SumTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    part = inputs[0][:, operator.first : operator.first + operator.count]
    total = part.sum(dim=1, keepdim=True, dtype=torch.int32)
    return narrow(shift_round(total, parameters.int32("shift")), operator.output_bits)


@compute.register
def _(operator: Affine, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    product = inputs[0].to(torch.int32) * parameters.int32("gain") + parameters.int32("bias")
    return narrow(shift_round(product, parameters.int32("shift")), operator.output_bits)
