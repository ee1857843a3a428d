"""Residual adds on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import Add


@compute.register
def _(operator: Add, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    a = inputs[0].to(torch.int32) << parameters.int32("left_a")
    b = inputs[1].to(torch.int32) << parameters.int32("left_b")
    return narrow(shift_round(a.add_(b), parameters.int32("shift")), operator.output_bits)
