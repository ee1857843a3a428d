"""Attention scores on torch tensors."""

from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.heads import heads_first
from p2vit.engine.torch.kernels.products import batched_product
from p2vit.numerics import Scores


@compute.register
def _(operator: Scores, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    q, k = (heads_first(x, operator.heads, operator.windows) for x in inputs)
    products = batched_product(q, k.transpose(-1, -2), 128 * 128, parameters)
    return products.reshape(*products.shape[:2], -1, products.shape[-1])
