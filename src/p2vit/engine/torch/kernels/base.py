"""What every torch kernel needs: parameters as tensors, exact matrix products, and the dispatcher."""

from functools import cache, singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from p2vit.numerics import Operator
from p2vit.numerics.rounding import IntArray

#: Integers below it are exact in float32.
EXACT_FLOAT32 = 1 << 24


class Parameters:
    """Torch copies of one operator's integer arrays, made once and kept for as long as the executor lives."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self._tensors: dict[str, Any] = {}

    def int32(self, name: str) -> Tensor:
        """An array parameter as int32."""
        return self.made(name, lambda: as_tensor(getattr(self.operator, name)).to(torch.int32))

    def made(self, name: str, make: Any) -> Any:
        """Anything derived from the parameters, computed at first use."""
        if name not in self._tensors:
            self._tensors[name] = make()
        return self._tensors[name]


def as_tensor(array: IntArray) -> Tensor:
    """A torch copy; uint16 has no arithmetic in torch and becomes int32."""
    return torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array.copy())


def bit_length(x: Tensor) -> Tensor:
    """Bits of non-negative int32 numbers, through float64's exponent, which is exact below 2^53."""
    return torch.frexp(x.to(torch.float64)).exponent


@cache
def int_mm_is_exact() -> bool:
    """Whether ``torch._int_mm`` computes int8 products exactly on this machine.

    Some int8 kernels saturate inside on CPUs without VNNI; all −128, all 127 and full-range operands tell.
    """
    generator = torch.Generator().manual_seed(0)
    full = torch.randint(-128, 128, (64, 768), dtype=torch.int8, generator=generator)
    weights = torch.randint(-128, 128, (768, 64), dtype=torch.int8, generator=generator)
    for value in (None, -128, 127):
        a = full if value is None else torch.full_like(full, value)
        b = weights if value is None else torch.full_like(weights, value)
        try:
            if not torch.equal(torch._int_mm(a, b).long(), a.long() @ b.long()):
                return False
        except RuntimeError:
            return False
    return True


def matmul(x: Tensor, weight: Tensor, weight_float: Any) -> Tensor:
    """int8 [M, K] × int8 [K, N] → int32 [M, N], exact."""
    if int_mm_is_exact():
        return torch._int_mm(x, weight)
    size = EXACT_FLOAT32 // (128 * 128)
    total = torch.zeros((x.shape[0], weight.shape[1]), dtype=torch.int32)
    dense = weight_float()
    for start in range(0, x.shape[1], size):
        total += (x[:, start : start + size].float() @ dense[start : start + size]).to(torch.int32)
    return total


@singledispatch
def compute(operator: Operator, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    """The operator's integers on torch tensors; equal to ``operator.compute``."""
    raise NotImplementedError(f"no torch kernel for {type(operator).__name__}")
