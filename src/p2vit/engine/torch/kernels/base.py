"""What every torch kernel needs: parameters as tensors, exact matrix products, and the dispatcher."""

from functools import lru_cache, singledispatch
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


@lru_cache(maxsize=4096)
def int_mm_is_exact(rows: int, inputs: int, outputs: int) -> bool:
    """Whether ``torch._int_mm`` computes int8 products [M, K] × [K, N] of this shape exactly on this machine.

    Which kernel runs depends on the shape, and some are wrong: with one input on every CPU that we have seen,
    and where int8 kernels saturate inside, on CPUs without VNNI. So every shape is tried once, at first use:
    rows and columns of all −128, of all 127 and of the full range meet each other.
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
    """int8 [M, K] × float32 [K, N] of int8 numbers → int32 [M, N]: exact, slice by slice of K."""
    size = EXACT_FLOAT32 // (128 * 128)
    total = (x[:, :size].float() @ dense[:size]).to(torch.int32)
    for start in range(size, x.shape[1], size):
        total += (x[:, start : start + size].float() @ dense[start : start + size]).to(torch.int32)
    return total


def matmul(x: Tensor, weight: Tensor, weight_float: Any) -> Tensor:
    """int8 [M, K] × int8 [K, N] → int32 [M, N], exact."""
    if not len(x) or int_mm_is_exact(*x.shape, weight.shape[1]):
        return torch._int_mm(x, weight)
    return sliced_matmul(x, weight_float())


@singledispatch
def compute(operator: Operator, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    """The operator's integers on torch tensors; equal to ``operator.compute``."""
    raise NotImplementedError(f"no torch kernel for {type(operator).__name__}")
