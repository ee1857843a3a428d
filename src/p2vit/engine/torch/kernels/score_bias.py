"""Bias and mask of scores on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.numerics import ScoreBias


@compute.register
def _(operator: ScoreBias, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    keys = inputs[0].shape[-1]
    scores = inputs[0].unflatten(2, (-1, keys)) + parameters.int32("bias")[:, None]
    if operator.regions.size:
        mask = parameters.made("mask", lambda: torch.from_numpy(operator.mask))
        scores = torch.where(mask, parameters.int32("masked")[:, None, None, None], scores)
    return scores.flatten(2, 3)
