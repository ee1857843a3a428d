"""Balance between the rounding of a layer's input and that of its weights.

The weights that are rounded contain the exponents of the input channels (:mod:`p2vit.quant.weights`). An input channel
whose weights are small leaves most of the weights' codes unused. A larger exponent for this channel uses them: the
channel is rounded more coarsely, and its weights' rounding errors are multiplied by smaller integers.
"""

import numpy as np
import torch
from torch import Tensor

from p2vit.quant.activation_grids import limit_to_shifter
from p2vit.quant.grid import Grid
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.weights import InputStatistics

#: Variance of a rounding error, in squared steps.
VARIANCE = 1 / 12
#: Exponents of the attention output relative to those of v that the operator's shifts reach.
VALUES_SHIFTS = -16, 8
#: Most that an exponent is raised.
MOST = 4
#: Passes over all channels.
SWEEPS = 4


def balance_input(
    block: QuantizedBlock, name: str, read: list[tuple[Tensor, int]], seen: InputStatistics
) -> InputStatistics:
    """Raise the exponents of a grid where that lowers the error of the layers that read it.

    Args:
        block: Block that has the grid, which is replaced. A grid with one exponent for all channels stays.
        name: Name of the grid: ``norm1``, ``values``, ``norm2``, ``gelu`` or ``mlp_norm``.
        read: Float weights, float32 [N, K], and width in bits, of the layers that read the input.
        seen: Statistics of the input.

    Returns:
        The statistics of the input on the new grid.
    """
    grid = block.grids[name]
    if not grid.log2_scale.ndim:
        return seen
    most = torch.full_like(grid.log2_scale, MOST)
    if name == "values":
        most = torch.minimum(most, block.grids["v"].log2_scale + VALUES_SHIFTS[1] - grid.log2_scale)
    elif name != "gelu":
        most = limit_to_shifter(Grid(grid.log2_scale + most), len(most)).log2_scale - grid.log2_scale
    size = len(most) // block.table_groups if name == "gelu" else 1
    energy = seen.hessian.diagonal() / seen.count
    raised = raised_exponents(read, grid.log2_scale, energy, most, size)
    block.grids[name] = raised_grid(grid, raised)
    return rescaled(seen, raised)


def raised_exponents(
    weights: list[tuple[Tensor, int]], log2_scale: Tensor, energy: Tensor, most: Tensor, size: int = 1
) -> Tensor:
    """Choose by how much each input channel's exponent is raised, to minimise the expected rounding error.

    The error is the sum, over the layers, of the variance at the output from rounding the input and from rounding the
    weights to nearest.

    Args:
        weights: Float weights, float32 [N, K], and width in bits, of the layers that read the input.
        log2_scale: float64 [K], log2 of the input's scales.
        energy: float64 [K], mean square of the input, in squared steps.
        most: float64 [K], largest raise of each channel.
        size: Number of neighbouring channels that share an exponent.

    Returns:
        float64 [K], whole numbers from 0 to ``most``.
    """
    magnitudes = torch.cat([weight.abs().double() / ((1 << (bits - 1)) - 0.5) for weight, bits in weights])
    norms = torch.cat([weight.double() for weight, _ in weights]).square().sum(dim=0)
    scale = torch.exp2(log2_scale)
    # NumPy, because the loop works on short vectors, and a call of torch takes longer than the work in it.
    columns = (magnitudes * scale).T.reshape(-1, size, len(magnitudes)).amax(dim=1).numpy().copy()
    squares = np.exp2(2 * np.ceil(np.log2(np.maximum(columns.max(axis=0), 2.0**-60))))
    inputs = (norms * scale.square()).view(-1, size).sum(dim=1).numpy().copy()
    loud = energy.view(-1, size).sum(dim=1).numpy().copy()
    limit = most.view(-1, size).amin(dim=1).numpy()
    raised = np.zeros(len(loud))
    total, square = float(loud.sum()), float(squares.sum())
    for _ in range(SWEEPS):
        changed = False
        for k in np.argsort(-loud, kind="stable").tolist():
            if raised[k] >= limit[k]:
                continue
            lower = total - 0.75 * float(loud[k])
            # A weight that outgrows the codes doubles the scale of its row.
            outgrown = 4 * columns[k] ** 2 > squares
            grown = square + 3 * float(squares[outgrown].sum())
            if grown * lower + 3 * float(inputs[k]) >= square * total:
                continue
            squares[outgrown] *= 4
            square, total, changed = grown, lower, True
            columns[k] *= 2
            inputs[k] *= 4
            loud[k] /= 4
            raised[k] += 1
        if not changed:
            break
    return torch.from_numpy(raised).repeat_interleave(size)


def raised_grid(grid: Grid, raised: Tensor) -> Grid:
    """Return the grid with larger exponents; the lowest code of each channel represents about the same value."""
    half = 1 << (grid.bits - 1)
    offset = grid.offset
    if isinstance(offset, Tensor):
        offset = torch.floor((offset - half) * torch.exp2(-raised).float() + 0.5) + half
    return Grid(grid.log2_scale + raised, grid.bits, offset)


def rescaled(seen: InputStatistics, raised: Tensor) -> InputStatistics:
    """Return the statistics of an input whose exponents are raised, without the additional rounding."""
    factor = torch.exp2(-raised)
    hessian = seen.hessian * factor * factor.unsqueeze(1)
    hessian += torch.diag(seen.count * VARIANCE * (1 - factor.square()))
    cross = None if seen.cross is None else seen.cross * factor.unsqueeze(1)
    return InputStatistics(hessian, seen.total * factor, seen.exact * factor, seen.count, cross, seen.source)
