"""LayerNorm on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, bit_length, compute
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT, MANTISSA_BITS, TABLE_FIRST, squares_shift
from p2vit.numerics.rounding import int_range


@compute.register
def _(operator: LayerNorm, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    aligned = inputs[0].to(torch.int32)
    if operator.input_bits < 16 or parameters.made("shifts", lambda: bool(operator.input_shift.any())):
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
    j = (bit_length(total) - MANTISSA_BITS) >> 1
    mantissa = (total >> (2 * j).clamp(min=0)) << (-2 * j).clamp(min=0)
    factor = parameters.int32("table")[((mantissa >> INDEX_SHIFT) - TABLE_FIRST).long()]
    return narrow(shift_round(normal * factor, parameters.int32("shift") + j), operator.output_bits)
