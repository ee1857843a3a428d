"""Linear layers on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.products import linear_product
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import Linear


@compute.register
def _(operator: Linear, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    x = inputs[0]
    accumulator = linear_product(x.reshape(-1, x.shape[-1]), operator.weight, parameters)
    return requantized(operator, accumulator, parameters).view(*x.shape[:-1], -1)


def requantized(operator: Linear, accumulator: Tensor, parameters: Parameters) -> Tensor:
    """Add the bias to the products int32 [M, N], in place, and re-quantize them."""
    if operator.output_bits == 32:
        return accumulator.add_(parameters.int32("bias"))
    shift = parameters.int32("shift")
    if parameters.made("all right", lambda: bool((operator.shift > 0).all())):
        rounding = parameters.made(
            "rounding", lambda: parameters.int32("bias") + (torch.ones_like(shift) << (shift - 1))
        )
        accumulator.add_(rounding).bitwise_right_shift_(shift)
    else:
        accumulator = shift_round(accumulator.add_(parameters.int32("bias")), shift)
    return narrow(accumulator, operator.output_bits)
