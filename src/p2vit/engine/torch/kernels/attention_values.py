"""Attention × values on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, bit_length, compute
from p2vit.engine.torch.kernels.heads import heads_first
from p2vit.engine.torch.kernels.products import batched_product
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import AttentionValues
from p2vit.numerics.attention_values import QUOTIENT_BITS, QUOTIENT_FRACTION, RECIPROCAL_FRACTION


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
        accumulator = batched_product(codes, split, 255 * 128, parameters)
        total = codes.sum(dim=-1, keepdim=True, dtype=torch.int32)
    n = bit_length(total)
    reciprocal = torch.div(
        torch.ones_like(total, dtype=torch.int64) << (n + RECIPROCAL_FRACTION), total, rounding_mode="floor"
    ).to(torch.int32)
    product = (shift_round(accumulator, n - QUOTIENT_BITS) * reciprocal).view(batch, heads, rows, -1)
    merged = product.transpose(1, 2).reshape(batch, rows, -1)
    return narrow(shift_round(merged, parameters.int32("shift") + QUOTIENT_FRACTION), operator.output_bits)
