"""Rounding of weights: exponents per output channel, and error compensation in the order of the inputs' energy.

A layer is treated in the domain of its stored inputs: with ``x = (stored + offset)·2^e_k`` the map to round is
``W_nk·2^e_k``, so inputs with an exponent per channel cost nothing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from p2vit.quant.config import QuantConfig
from p2vit.quant.grid import Grid, log2_scale_for
from p2vit.quant.workers import Workers

#: Output rows that one task rounds; fixed, so that results do not depend on the number of workers.
ROWS = 192
#: Columns between two updates of the columns still to come (GPTQ's lazy batches).
COLUMNS = 96
#: Share of the mean diagonal added to the Hessian.
DAMPING = 0.01


@dataclass
class InputStatistics:
    """What a layer's stored inputs looked like, summed over tokens.

    Attributes:
        hessian: float64 [K, K], Σ x·xᵀ of ``stored + offset``, tokens weighted by their importance.
        total: float64 [K], Σ (stored + offset), weighted.
        exact: float64 [K], Σ of the values before they were quantized, in units of the grid, weighted.
        count: Sum of the weights.
    """

    hessian: Tensor
    total: Tensor
    exact: Tensor
    count: float

    @staticmethod
    def of(value: Tensor, grid: Grid, importance: Tensor) -> "InputStatistics":
        """Statistics of one batch: value float [B, N, K], the grid that quantizes it, and a weight per token [N]."""
        weight = importance.unsqueeze(-1)
        stored = grid.stored(value) + grid.offset
        scaled = (stored * weight.sqrt()).flatten(0, -2)
        return InputStatistics(
            (scaled.T @ scaled).double(),
            (stored * weight).double().flatten(0, -2).sum(0),
            (value / grid.scale * weight).double().flatten(0, -2).sum(0),
            len(value) * float(importance.sum()),
        )

    @staticmethod
    def merge(parts: list["InputStatistics"]) -> "InputStatistics":
        """Sum over batches, in order."""
        first = parts[0]
        for part in parts[1:]:
            first.hessian += part.hessian
            first.total += part.total
            first.exact += part.exact
            first.count += part.count
        return first


@dataclass(frozen=True)
class QuantizedLinear:
    """A layer in integers: ``y = (stored·Wᵀ + bias)·2^log2_scale`` per output channel.

    Attributes:
        weight: float32 [N, K] of whole numbers.
        bias: float64 [N] of whole numbers, at the accumulator's scale; the input's offset is absorbed.
        log2_scale: float64 [N], of the accumulator.
        bits: Width of the weights.
    """

    weight: Tensor
    bias: Tensor
    log2_scale: Tensor
    bits: int

    def apply(self, stored: Tensor) -> Tensor:
        """Real output for stored integers [..., K] → float32 [..., N]."""
        return (stored @ self.weight.T + self.bias.float()) * torch.exp2(self.log2_scale).float()


def compensate(weight: Tensor, factor: Tensor, bits: int) -> Tensor:
    """Round columns one after the other, giving each column's error to those that follow (GPTQ, arXiv 2210.17323).

    Args:
        weight: float32 [R, K], in units of each row's scale; columns in the order to round them.
        factor: float32 [K, K], upper Cholesky factor of the inverse Hessian in the same order.
        bits: Width.

    Returns:
        float32 [R, K] of whole numbers.
    """
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rest, rounded = weight.clone(), torch.empty_like(weight)
    for start in range(0, weight.shape[1], COLUMNS):
        stop = min(start + COLUMNS, weight.shape[1])
        part, errors = rest[:, start:stop].T.contiguous(), torch.empty(stop - start, len(weight))
        local = factor[start:stop, start:stop]
        for j in range(stop - start):
            q = torch.floor(part[j] + 0.5).clamp_(low, high)
            rounded[:, start + j] = q
            errors[j] = (part[j] - q) / local[j, j]
            if j + 1 < stop - start:
                part[j + 1 :].addr_(local[j, j + 1 :], errors[j], alpha=-1)
        if stop < weight.shape[1]:
            rest[:, stop:] -= errors.T @ factor[start:stop, stop:]
    return rounded


def inverse_factor(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """Upper Cholesky factor of the damped inverse, most energetic inputs first, and that order.

    Args:
        hessian: float64 [K, K].

    Returns:
        float32 [K, K] and int64 [K].
    """
    diagonal = hessian.diagonal()
    order = torch.argsort(diagonal, descending=True, stable=True)
    damped = hessian[order][:, order].clone()
    damped.diagonal().add_(DAMPING * diagonal.mean().clamp(min=1.0))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True).float(), order


def weight_scales(weight: Tensor, hessian: Tensor, bits: int, config: QuantConfig) -> Tensor:
    """Scale of each output channel, float64 [N].

    Covers the largest weight; below 7 bits clipping it may cost less than the finer step gains, which plain rounding
    against the Hessian decides.
    """
    magnitude = weight.abs().amax(dim=1)
    if not config.weight_channels:
        magnitude = magnitude.max().expand_as(magnitude)
    start = log2_scale_for(magnitude, bits, config.scales)
    steps = (0.0,) if bits > 6 or config.criterion == "range" else (0.0, -1.0) if config.scales != "float" else (0.0, -0.25, -0.5)
    losses = []
    for step in steps:
        grid = Grid((start + step).unsqueeze(1), bits)
        error = (grid.fake(weight) - weight).double()
        losses.append(((error @ hessian) * error).sum(dim=1))
    if not config.weight_channels:
        losses = [loss.sum().expand_as(loss) for loss in losses]
    return start + torch.tensor(steps, dtype=torch.float64)[torch.stack(losses).argmin(dim=0)]


def quantize_linear(
    weight: Tensor,
    bias: Tensor,
    inputs: Grid,
    seen: InputStatistics,
    bits: int,
    config: QuantConfig,
    workers: Workers,
    wanted_mean: Tensor | None = None,
) -> QuantizedLinear:
    """Round one layer.

    Args:
        weight: float32 [N, K].
        bias: float32 [N].
        inputs: Grid of the layer's input.
        seen: Statistics of that input.
        bits: Width of the weights.
        config: Which rounding, scales and correction.
        workers: Who shares the rows.
        wanted_mean: float64 [N], mean output that bias correction aims at; by default the float layer's own on the
            values that the input stands for.
    """
    effective = weight * inputs.scale
    log2_scale = weight_scales(effective, seen.hessian, bits, config)
    units = (effective.double() / torch.exp2(log2_scale).unsqueeze(1)).float()
    if config.weight_rounding == "gptq":
        factor, order = inverse_factor(seen.hessian)
        parts = [units[start : start + ROWS, order] for start in range(0, len(units), ROWS)]
        rounded = torch.cat(workers.map(lambda part: compensate(part, factor, bits), parts))
        stored = torch.empty_like(rounded)
        stored[:, order] = rounded
    else:
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        stored = torch.floor(units + 0.5).clamp_(low, high)
    step = torch.exp2(log2_scale)
    exact_bias = bias.double() / step
    if config.bias_correction:
        if wanted_mean is None:
            wanted_mean = bias.double() + effective.double() @ seen.exact / seen.count
        exact_bias = wanted_mean / step - stored.double() @ seen.total / seen.count
    exact_bias = exact_bias + inputs.offset * stored.double().sum(dim=1)
    limit = float(np.iinfo(np.int32).max)
    return QuantizedLinear(stored, torch.floor(exact_bias + 0.5).clamp_(-limit, limit), log2_scale, bits)
