"""Shared parts of the torch kernels: parameters as tensors, bit lengths, and the dispatcher."""

from collections.abc import Hashable
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from p2vit.numerics import Operator
from p2vit.numerics.rounding import IntArray


class Parameters:
    """Torch copies of one operator's integer arrays. Each is made at its first use and then kept.

    Attributes:
        operator: The operator.
        device: Device of the tensors.
        values: Name → tensor on the device, or number that a kernel derived from the parameters.
    """

    def __init__(self, operator: Operator, device: torch.device | str = "cpu") -> None:
        self.operator = operator
        self.device = torch.device(device)
        self.values: dict[Hashable, Any] = {}

    def int32(self, name: str) -> Tensor:
        """Return an array of the operator as an int32 tensor."""
        return self.made(name, lambda: as_tensor(getattr(self.operator, name)).to(torch.int32))

    def made(self, name: Hashable, make: Any) -> Any:
        """Return a value that is derived from the parameters; ``make`` computes it at the first call.

        A kernel takes every value that depends on the numbers in the parameters from here, so that a kernel that is
        compiled once serves every operator with the same shapes and the same derived numbers.
        """
        if name not in self.values:
            value = make()
            self.values[name] = value.to(self.device) if isinstance(value, Tensor) else value
        return self.values[name]


def as_tensor(array: IntArray) -> Tensor:
    """Copy an array to a tensor. uint16 becomes int32, because torch has no arithmetic for uint16."""
    return torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array.copy())


def bit_length(x: Tensor) -> Tensor:
    """Return the bit length of non-negative int32 numbers, from the exponent field of float64."""
    # 0 has the exponent field 0.
    return ((x.to(torch.float64).view(torch.int64) >> 52) - 1022).clamp_(min=0).to(torch.int32)


@singledispatch
def compute(operator: Operator, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    """Compute an operator on torch tensors; the result equals ``operator.compute``."""
    raise NotImplementedError(f"no torch kernel for {type(operator).__name__}")
