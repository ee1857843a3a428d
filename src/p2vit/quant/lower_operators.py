"""One integer operator each, from layers and grids: exponents become shifts, activations become tables."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import activate
from p2vit.models.config import Activation
from p2vit.numerics import Add, Linear, Lookup, Multiply, Rotary, ScoreBias
from p2vit.numerics.rotary import FRACTION
from p2vit.program.masks import LARGEST_DISTANCE
from p2vit.quant.grid import Grid
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.weights import QuantizedLinear

#: Scores of int8 queries and keys are at most this times the channels of a head.
LARGEST_PRODUCT = 1 << 14


def whole(values: Tensor, dtype: str) -> NDArray:
    """Whole numbers held in a float tensor, as a NumPy integer array.

    Raises:
        ValueError: a number is not finite, or does not fit.
    """
    found, limits = values.detach().double().round().numpy(), np.iinfo(dtype)
    inside = (found >= limits.min) & (found <= limits.max)  # False for NaN
    if not inside.all():
        raise ValueError(f"a value of {found[~inside][0]:g} leaves {dtype}")
    return found.astype(dtype)


def linear(layer: QuantizedLinear, grid: Grid | None) -> Linear:
    """A layer with its shift to the exponents of ``grid``; without one, the accumulator is the output."""
    accumulator, bias = whole(layer.log2_scale, "int8"), layer.bias
    if grid is None:
        shift, bits = np.zeros_like(accumulator), 32
    else:
        shift, bits = (grid.exponents().astype(np.int16) - accumulator).astype(np.int8), grid.bits
        # The offset that the output leaves out is taken from the bias.
        bias = bias - torch.floor(grid.offset * torch.exp2(grid.log2_scale - layer.log2_scale) + 0.5)
    return Linear(
        whole(layer.weight, "int8"),
        whole(bias, "int32"),
        shift,
        layer.bits,
        bits,
        accumulator_exponent=accumulator,
    )


def table(inputs: Grid, outputs: Grid, activation: Activation, groups: int) -> Lookup:
    """Tables of an activation from one grid to another, one for each group, from the exact function in float64."""

    def of_groups(value: float | Tensor) -> Tensor:
        each = torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1)
        return each[:: max(len(each) // groups, 1)]

    x = (torch.arange(-128, 128, dtype=torch.float64) + of_groups(inputs.offset)) * torch.exp2(
        of_groups(inputs.log2_scale)
    )
    y = activate(x, activation) / torch.exp2(of_groups(outputs.log2_scale))
    return Lookup(whole(torch.floor(y + (0.5 - of_groups(outputs.offset))).clamp(-128, 127), "int8"))


def residual_add(before: Grid, branch: Grid, after: Grid) -> Add:
    """Add of a stream and a branch, aligned to the branch's exponents, which are as fine as both neighbours'."""
    left = np.atleast_1d(before.exponents() - branch.exponents())
    shift = np.atleast_1d(after.exponents() - branch.exponents())
    return Add(left, np.zeros(1, np.int8), shift, after.bits)


def rotary(block: QuantizedBlock, name: str) -> Rotary:
    """Rotary positions of a block's queries or keys.

    Args:
        block: With rotary positions.
        name: ``q`` or ``k``.
    """
    assert block.shape.rotary is not None
    before, after = (block.grids[f"{name}_linear"], block.grids[name])
    shift = after.exponents().astype(np.int16) - before.exponents() + FRACTION
    return Rotary(*block.shape.rotary.rounded(FRACTION), shift.astype(np.int8), after.bits)


def gate(block: QuantizedBlock) -> Multiply:
    """Activation times linear branch of a block's gated MLP."""
    activation, linear_branch, product = (block.grids[name] for name in ("gelu", "up", "gated"))
    shift = (
        product.exponents().astype(np.int16) - activation.exponents() - linear_branch.exponents()
    )
    return Multiply(
        np.atleast_1d(activation.offsets()), np.atleast_1d(shift).astype(np.int8), product.bits
    )


def score_bias(block: QuantizedBlock, shift: NDArray) -> ScoreBias:
    """Bias and mask of a block in windows; masked keys fall below every other by the largest distance.

    Args:
        block: With windows.
        shift: int8 [H], of the softmax behind it.
    """
    assert block.inside is not None
    numbers = block.score_bias()
    assert numbers is not None
    bias, regions = whole(numbers, "int32"), block.inside.shape.regions
    if regions is None:
        return ScoreBias(bias)
    lowest = bias.min(axis=(1, 2)).astype(np.int64) - block.shape.head_dim * LARGEST_PRODUCT
    reach = (LARGEST_DISTANCE + 1) * 2.0 ** shift.astype(np.float64)
    return ScoreBias(bias, regions, (lowest - np.ceil(reach).astype(np.int64)).astype(np.int32))
