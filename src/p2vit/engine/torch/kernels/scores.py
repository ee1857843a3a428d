"""Attention scores on torch tensors."""

import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import EXACT_FLOAT32, Parameters, compute
from p2vit.engine.torch.kernels.heads import heads_first
from p2vit.numerics import Scores


@compute.register
def _(operator: Scores, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    q, k = (heads_first(x, operator.heads, operator.windows).float() for x in inputs)
    size = EXACT_FLOAT32 // (128 * 128)
    parts = [
        (q[..., i : i + size] @ k[..., i : i + size].transpose(-1, -2)).to(torch.int32)
        for i in range(0, operator.head_dim, size)
    ]
    products = parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0, dtype=torch.int32)
    return products.reshape(*products.shape[:2], -1, products.shape[-1])
