"""Shared parts of the torch kernels: parameters as tensors, exact matrix products, and the dispatcher."""

from functools import lru_cache, singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from p2vit.numerics import Operator
from p2vit.numerics.rounding import IntArray

#: Integers up to this magnitude are exact in float32.
EXACT_FLOAT32 = 1 << 24


class Parameters:
    """Torch copies of one operator's integer arrays. Each is made at its first use and then kept."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self._tensors: dict[str, Any] = {}

    def int32(self, name: str) -> Tensor:
        """Return an array of the operator as an int32 tensor."""
        return self.made(name, lambda: as_tensor(getattr(self.operator, name)).to(torch.int32))

    def made(self, name: str, make: Any) -> Any:
        """Return a value that is derived from the parameters; ``make`` computes it at the first call."""
        if name not in self._tensors:
            self._tensors[name] = make()
        return self._tensors[name]


def as_tensor(array: IntArray) -> Tensor:
    """Copy an array to a tensor. uint16 becomes int32, because torch has no arithmetic for uint16."""
    return torch.from_numpy(array.astype(np.int32) if array.dtype == np.uint16 else array.copy())


def bit_length(x: Tensor) -> Tensor:
    """Return the bit length of non-negative int32 numbers, from the exponent of float64."""
    return torch.frexp(x.to(torch.float64)).exponent


@lru_cache(maxsize=4096)
def int_mm_is_exact(rows: int, inputs: int, outputs: int) -> bool:
    """Test whether ``torch._int_mm`` computes int8 products [M, K] × [K, N] of this shape exactly on this machine.

    The kernel depends on the shape, and some kernels are wrong: for K = 1 on every CPU that we have seen, and on CPUs
    without VNNI if intermediate sums saturate. Each shape is therefore tested once, at its first use, with rows and
    columns of all −128, of all 127 and of random numbers.
    """
    generator = torch.Generator().manual_seed(0)

    def operand(count: int) -> Tensor:
        numbers = torch.randint(-128, 128, (count, inputs), dtype=torch.int8, generator=generator)
        numbers[1::4], numbers[2::4] = -128, 127
        return numbers

    a, b = operand(rows), operand(outputs).t()
    try:
        found = torch._int_mm(a, b)
    except RuntimeError:
        return False
    return torch.equal(found, sliced_matmul(a, b.float()))


def sliced_matmul(x: Tensor, dense: Tensor) -> Tensor:
    """Multiply int8 [M, K] by float32 [K, N] that holds int8 numbers, in exact slices of K: int32 [M, N]."""
    size = EXACT_FLOAT32 // (128 * 128)
    total = (x[:, :size].float() @ dense[:size]).to(torch.int32)
    for start in range(size, x.shape[1], size):
        total += (x[:, start : start + size].float() @ dense[start : start + size]).to(torch.int32)
    return total


def matmul(x: Tensor, weight: Tensor, weight_float: Any) -> Tensor:
    """Multiply int8 [M, K] by int8 [K, N] exactly: int32 [M, N]."""
    if not len(x) or int_mm_is_exact(*x.shape, weight.shape[1]):
        return torch._int_mm(x, weight)
    return sliced_matmul(x, weight_float())


@singledispatch
def compute(operator: Operator, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    """Compute an operator on torch tensors; the result equals ``operator.compute``."""
    raise NotImplementedError(f"no torch kernel for {type(operator).__name__}")
