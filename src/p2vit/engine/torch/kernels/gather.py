"""Gathering of tokens on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, as_tensor, compute
from p2vit.numerics import GatherTokens


@compute.register
def _(operator: GatherTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    (x,) = inputs
    flat = parameters.made("flat", lambda: as_tensor(operator.index.reshape(-1)))
    if parameters.made("fills", lambda: bool((operator.index < 0).any())):
        fill = parameters.made(f"fill {x.dtype}", lambda: as_tensor(operator.fill).to(x.dtype))
        x = torch.cat([x, fill.expand(len(x), 1, -1)], dim=1)
        flat = parameters.made("wrapped", lambda: torch.where(flat < 0, x.shape[1] - 1, flat))
    return x.index_select(1, flat).view(len(x), len(operator.index), -1)
