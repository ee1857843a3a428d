"""Gain and bias per channel on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import Affine


@compute.register
def _(operator: Affine, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    product = inputs[0].to(torch.int32) * parameters.int32("gain") + parameters.int32("bias")
    return narrow(shift_round(product, parameters.int32("shift")), operator.output_bits)
