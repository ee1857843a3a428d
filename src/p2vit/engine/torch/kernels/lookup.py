"""Table lookup on torch tensors."""

import numpy as np
import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, as_tensor, compute
from p2vit.numerics import Lookup


@compute.register
def _(operator: Lookup, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    table = parameters.made("table", lambda: as_tensor(operator.table.ravel()))
    index = inputs[0].to(torch.int32) + 128
    if operator.groups > 1:
        channels = index.shape[-1]
        index += parameters.made(
            "group", lambda: as_tensor(operator.group_of(channels).astype(np.int32) * 256)
        )
    return table[index]
