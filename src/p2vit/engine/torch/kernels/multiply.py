"""Products of two tensors, number by number, on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import Multiply


@compute.register
def _(operator: Multiply, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    gate = inputs[0].to(torch.int32) + parameters.int32("offset")
    product = gate * inputs[1].to(torch.int32)
    return narrow(shift_round(product, parameters.int32("shift")), operator.output_bits)
