"""Lowering of single operators: linear layers, activation tables, residual adds and score biases."""

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

#: Largest product of an int8 query and key. A score is at most this times the head dim.
LARGEST_PRODUCT = 1 << 14


def whole(values: Tensor, dtype: str) -> NDArray:
    """Convert whole numbers in a float tensor to a NumPy integer array of a dtype.

    Raises:
        ValueError: A number is not finite, or does not fit the dtype.
    """
    found, limits = values.detach().double().round().numpy(), np.iinfo(dtype)
    inside = (found >= limits.min) & (found <= limits.max)  # False for NaN
    if not inside.all():
        raise ValueError(f"a value of {found[~inside][0]:g} leaves {dtype}")
    return found.astype(dtype)


def linear(layer: QuantizedLinear, grid: Grid | None) -> Linear:
    """Lower a linear layer with its output on ``grid``; without a grid, the int32 accumulator is the output."""
    accumulator, bias = whole(layer.log2_scale, "int8"), layer.bias
    if grid is None:
        shift, bits = np.zeros_like(accumulator), 32
    else:
        shift, bits = (grid.exponents().astype(np.int16) - accumulator).astype(np.int8), grid.bits
        # The stored output leaves the offset out, so it is subtracted from the bias.
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
    """Compute the tables of an activation in float64.

    Args:
        inputs: Grid of the input.
        outputs: Grid of the output.
        activation: The function.
        groups: Number of groups of neighbouring channels; each group has one table.
    """

    def of_groups(value: float | Tensor) -> Tensor:
        each = torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1)
        return each[:: max(len(each) // groups, 1)]

    x = (torch.arange(-128, 128, dtype=torch.float64) + of_groups(inputs.offset)) * torch.exp2(
        of_groups(inputs.log2_scale)
    )
    y = activate(x, activation) / torch.exp2(of_groups(outputs.log2_scale))
    return Lookup(whole(torch.floor(y + (0.5 - of_groups(outputs.offset))).clamp(-128, 127), "int8"))


def add(first: Grid, second: Grid, after: Grid) -> Add:
    """Lower an add. Both inputs are aligned to the finest of the three exponents, channel by channel."""
    parts = np.broadcast_arrays(*(grid.exponents().astype(np.int16) for grid in (first, second, after)))
    finest = np.minimum.reduce(parts)
    left_a, left_b, shift = (np.atleast_1d(part - finest).astype(np.int8) for part in parts)
    # A branch of a residual add has the finest exponents: it is not shifted, and needs no shift per channel.
    return Add(left_a, left_b if left_b.any() else np.zeros(1, np.int8), shift, after.bits)


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
    shift = product.exponents().astype(np.int16) - activation.exponents() - linear_branch.exponents()
    return Multiply(np.atleast_1d(activation.offsets()), np.atleast_1d(shift).astype(np.int8), product.bits)


def score_bias(block: QuantizedBlock, shift: NDArray) -> ScoreBias:
    """Lower the bias and the mask of window attention.

    A masked score is lower than every other score by more than the largest distance that the softmax distinguishes.

    Args:
        block: Block with window attention.
        shift: Shift of the softmax that follows, int8 [H].
    """
    assert block.window_attention is not None
    numbers = block.score_bias()
    assert numbers is not None
    bias, regions = whole(numbers, "int32"), block.window_attention.windows.regions
    if regions is None:
        return ScoreBias(bias)
    lowest = bias.min(axis=(1, 2)).astype(np.int64) - block.shape.head_dim * LARGEST_PRODUCT
    reach = (LARGEST_DISTANCE + 1) * 2.0 ** shift.astype(np.float64)
    return ScoreBias(bias, regions, (lowest - np.ceil(reach).astype(np.int64)).astype(np.int32))
