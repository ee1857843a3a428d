"""Rotary position embedding on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import Rotary


@compute.register
def _(operator: Rotary, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    x = inputs[0].to(torch.int32)
    pairs = x.unflatten(-1, (-1, operator.cosine.shape[1], 2))
    # [N, 1, P]: the tables repeat from head to head.
    cosine, sine = (parameters.int32(name).unsqueeze(1) for name in ("cosine", "sine"))
    a, b = pairs.unbind(-1)
    turned = torch.stack([a * cosine - b * sine, a * sine + b * cosine], dim=-1).reshape(x.shape)
    return narrow(shift_round(turned, parameters.int32("shift")), operator.output_bits)
