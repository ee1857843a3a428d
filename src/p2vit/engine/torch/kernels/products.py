"""Exact integer matrix products on torch tensors, on a CPU and on a CUDA device.

Two-dimensional products use ``torch._int_mm``. Batched products use float32, and float16 operands with float32 sums on
a CUDA device. Each float product is cut into slices so short that every partial sum is an integer of at most 2^24,
which float32 represents exactly. ``torch._int_mm`` and the float16 product are used only for shapes for which a test on
this machine showed that they are exact.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.engine.torch.kernels.base import Parameters, as_tensor
from p2vit.numerics.rounding import IntArray

#: Integers up to this magnitude are exact in float32.
EXACT_FLOAT32 = 1 << 24
#: cuBLAS multiplies int8 matrices only with more rows than this, and with sizes that are multiples of `ALIGNMENT`.
FEWEST_ROWS = 16
ALIGNMENT = 8


def needs_alignment(device: torch.device) -> bool:
    """Return whether matrix sizes are padded with zeros: cuBLAS needs it."""
    return device.type == "cuda"


def aligned(size: int) -> int:
    """Round a size up to a multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def padded(x: Tensor, columns: int, rows: int | None = None) -> Tensor:
    """Pad the last dimension, and the one before it, with zeros up to a size."""
    more = 0 if rows is None else rows - x.shape[-2]
    if x.shape[-1] == columns and not more:
        return x
    return F.pad(x, (0, columns - x.shape[-1], 0, more))


def linear_product(x: Tensor, weight: IntArray, parameters: Parameters) -> Tensor:
    """Multiply int8 [M, K] by the transpose of int8 weights [N, K] exactly: int32 [M, N].

    Args:
        x: Activations.
        weight: Weights. They are copied to the device at the first call.
        parameters: Parameters of the operator, which keep the copy.
    """
    (rows, _), outputs = x.shape, weight.shape[0]
    if not rows:
        return x.new_empty((0, outputs), dtype=torch.int32)
    if pads := needs_alignment(x.device):
        x = padded(x, aligned(x.shape[1]), max(rows, 2 * FEWEST_ROWS))

    def transposed() -> Tensor:
        dense = as_tensor(weight)
        if pads:
            dense = padded(dense, x.shape[1], aligned(outputs))
        return dense.to(x.device).t()

    turned = parameters.made("transposed", transposed)
    shape = (*x.shape, turned.shape[1])
    if parameters.made(("int_mm", *shape), lambda: int_mm_is_exact(*shape, str(x.device))):
        product = torch._int_mm(x, turned)
    else:
        product = sliced_matmul(x, parameters.made("dense", turned.float))
    return product[:rows, :outputs] if pads else product


@lru_cache(maxsize=4096)
def int_mm_is_exact(rows: int, inputs: int, outputs: int, device: str = "cpu") -> bool:
    """Test whether ``torch._int_mm`` computes int8 products [M, K] × [K, N] of this shape exactly on this machine.

    The kernel depends on the shape, and some kernels are wrong: for K = 1 on every CPU that we have seen, and on CPUs
    without VNNI if intermediate sums saturate. Each shape is therefore tested once, at its first use, with rows and
    columns of all −128, of all 127 and of random numbers.
    """
    a, b = (extreme_numbers(count, inputs, -128, 127, device) for count in (rows, outputs))
    try:
        found = torch._int_mm(a, b.t())
    except RuntimeError:
        return False
    return torch.equal(found, sliced_matmul(a, b.t().float()))


def extreme_numbers(rows: int, columns: int, low: int, high: int, device: str) -> Tensor:
    """Return rows of random numbers, among them rows of only the lowest and only the highest: [rows, columns]."""
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.int8 if low < 0 else torch.uint8
    numbers = torch.randint(low, high + 1, (rows, columns), dtype=dtype, generator=generator, device=device)
    numbers[1::4], numbers[2::4] = low, high
    return numbers


def sliced_matmul(x: Tensor, dense: Tensor) -> Tensor:
    """Multiply int8 [M, K] by float32 [K, N] that holds int8 numbers, in exact slices of K: int32 [M, N]."""
    size = EXACT_FLOAT32 // (128 * 128)
    total = (x[:, :size].float() @ dense[:size]).to(torch.int32)
    for start in range(size, x.shape[1], size):
        total += (x[:, start : start + size].float() @ dense[start : start + size]).to(torch.int32)
    return total


def batched_product(a: Tensor, b: Tensor, largest: int, parameters: Parameters) -> Tensor:
    """Multiply integers [..., M, K] by integers [..., K, N] exactly: int32 [..., M, N].

    Args:
        a: int8 or uint8.
        b: int8.
        largest: Largest magnitude of one product of two numbers.
        parameters: Parameters of the operator, which keep the test's result.
    """
    size = EXACT_FLOAT32 // largest
    multiply = float_product
    if needs_alignment(a.device):
        shape = (a.shape[-2], min(a.shape[-1], size), b.shape[-1])
        low, high = (-128, 127) if a.dtype == torch.int8 else (0, 255)
        test = lambda: half_product_is_exact(*shape, low, high, str(a.device))  # noqa: E731
        multiply = half_product if parameters.made(("half", *shape), test) else float_product
    parts = [
        multiply(a[..., i : i + size], b[..., i : i + size, :]).to(torch.int32)
        for i in range(0, a.shape[-1], size)
    ]
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0, dtype=torch.int32)


def float_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply integers in float32: float32 [..., M, N]."""
    return a.float() @ b.float()


def half_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply integers in float16 with float32 sums, on a CUDA device: float32 [..., M, N].

    Eight-bit integers are exact in float16, and products of two are exact in float32. K and N are padded to the
    alignment that the fast kernels need.
    """
    depth, columns = aligned(a.shape[-1]), b.shape[-1]
    # The right operand is stored by columns, as queries × keys has it.
    left = padded(a.half(), depth).flatten(0, -3)
    right = padded(b.transpose(-1, -2).half(), depth, aligned(columns)).flatten(0, -3).transpose(-1, -2)
    product = half_bmm(left, right)
    return product[..., :columns].unflatten(0, a.shape[:-2])


@torch.library.custom_op("p2vit::half_bmm", mutates_args=())
def half_bmm(left: Tensor, right: Tensor) -> Tensor:
    """Multiply float16 [B, M, K] by float16 [B, K, N] with float32 sums: float32 [B, M, N].

    An operator of its own, because some versions of TorchInductor do not compile ``out_dtype``.
    """
    return torch.bmm(left, right, out_dtype=torch.float32)


@half_bmm.register_fake
def _(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty((*left.shape[:2], right.shape[2]), dtype=torch.float32)


@lru_cache(maxsize=4096)
def half_product_is_exact(rows: int, inputs: int, outputs: int, low: int, high: int, device: str) -> bool:
    """Test whether `half_product` is exact for [2, 1, M, K] × [2, 1, K, N], with the operands of `int_mm_is_exact`."""
    a = extreme_numbers(rows, inputs, low, high, device).expand(2, 1, -1, -1)
    b = extreme_numbers(outputs, inputs, -128, 127, device).t().expand(2, 1, -1, -1)
    try:
        found = half_product(a, b)
    except (RuntimeError, TypeError):
        return False
    return torch.equal(found.double(), a.double() @ b.double())
