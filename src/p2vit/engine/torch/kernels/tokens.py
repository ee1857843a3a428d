"""Patches and tokens on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, as_tensor, compute
from p2vit.engine.torch.kernels.requantize import narrow, shift_round
from p2vit.numerics import AssembleTokens, ConstantTokens, Patchify, SelectToken, SumTokens


@compute.register
def _(operator: Patchify, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    pixels = inputs[0]
    batch, height, width, channels = pixels.shape
    p = operator.patch_size
    grid = pixels.view(batch, height // p, p, width // p, p, channels).permute(0, 1, 3, 2, 4, 5)
    flat = grid.reshape(batch, (height // p) * (width // p), p * p * channels)
    return (flat.to(torch.int16) - 128).to(torch.int8)


@compute.register
def _(operator: AssembleTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    total = inputs[0].to(torch.int32) + parameters.int32("position")
    patches = narrow(total, operator.output_bits)
    prefix = parameters.made("prefix", lambda: as_tensor(operator.prefix))
    return torch.cat([prefix.expand(len(patches), -1, -1), patches], dim=1)


@compute.register
def _(operator: SelectToken, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    return inputs[0][:, operator.index : operator.index + 1].contiguous()


@compute.register
def _(operator: ConstantTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    tokens = parameters.made("tokens", lambda: as_tensor(operator.tokens))
    return tokens.expand(len(inputs[0]), -1, -1).contiguous()


@compute.register
def _(operator: SumTokens, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    part = inputs[0][:, operator.first : operator.first + operator.count]
    total = part.sum(dim=1, keepdim=True, dtype=torch.int32)
    return narrow(shift_round(total, parameters.int32("shift")), operator.output_bits)
