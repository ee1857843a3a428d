"""Weight rounding: one exponent per output channel, with error compensation (GPTQ).

Inputs are stored integers: ``x = (stored + offset)·2^e_k``. The matrix that is rounded is therefore ``W_nk·2^e_k``. It
contains the input exponents, so an exponent per input channel needs no extra operation.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from p2vit.quant.compensation import aim, code_range, compensate, damped, descend, inverse_factor, row_losses
from p2vit.quant.config import NARROW_BITS, QuantConfig
from p2vit.quant.grid import Grid, log2_scale_for
from p2vit.quant.workers import Workers

#: Output rows that one task rounds; fixed, so that results do not depend on the number of workers.
ROWS = 192
#: Sweeps of coordinate descent after compensation, for weights of at most NARROW_BITS.
SWEEPS = 3


@dataclass
class InputStatistics:
    """Sums over the calibration tokens of a layer's input. Each token counts with its importance.

    Attributes:
        hessian: float64 [K, K], Σ x·xᵀ with x = ``stored + offset``.
        total: float64 [K], Σ x.
        exact: float64 [K], Σ of the input before it is quantized, divided by the scale of the grid.
        count: Sum of the importances.
        cross: float64 [K, M], Σ x·sᵀ, where s are the float model's values at the same place (see
            :class:`LinearOptions`). None if the layer only has to reproduce its own output.
        source: float64 [M], Σ s; None if ``cross`` is None.
    """

    hessian: Tensor
    total: Tensor
    exact: Tensor
    count: float
    cross: Tensor | None = None
    source: Tensor | None = None

    @staticmethod
    def of(value: Tensor, grid: Grid, importance: Tensor, source: Tensor | None = None) -> "InputStatistics":
        """Compute the statistics of one batch.

        Args:
            value: float32 [B, N, K], input of the layer before it is quantized.
            grid: Grid of the input.
            importance: float32 [N], weight of each token.
            source: float32 [B, N, M], the float model's values at the same place, or None.
        """
        weight = importance.unsqueeze(-1)
        stored = grid.stored(value) + grid.offset
        scaled = (stored * weight.sqrt()).flatten(0, -2)
        cross = total = None
        if source is not None:
            weighted = (source * weight).flatten(0, -2)
            cross, total = (stored.flatten(0, -2).T @ weighted).double(), weighted.double().sum(0)
        return InputStatistics(
            (scaled.T @ scaled).double(),
            (stored * weight).double().flatten(0, -2).sum(0),
            (value / grid.scale * weight).double().flatten(0, -2).sum(0),
            len(value) * float(importance.sum()),
            cross,
            total,
        )

    @staticmethod
    def merge(parts: list["InputStatistics"]) -> "InputStatistics":
        """Add up the statistics of all batches, in order. The first one is changed in place."""
        first = parts[0]
        for part in parts[1:]:
            first.hessian += part.hessian
            first.total += part.total
            first.exact += part.exact
            first.count += part.count
            if first.cross is not None and part.cross is not None:
                first.cross += part.cross
            if first.source is not None and part.source is not None:
                first.source += part.source
        return first


@dataclass(frozen=True)
class QuantizedLinear:
    """A linear layer with integer weights: ``y = (stored·Wᵀ + bias)·2^log2_scale`` per output channel.

    Attributes:
        weight: float32 [N, K], whole numbers.
        bias: float64 [N], whole numbers at the accumulator's scale. It has absorbed the offset of the input.
        log2_scale: float64 [N], log2 of the accumulator's scale.
        bits: Width of the weights.
    """

    weight: Tensor
    bias: Tensor
    log2_scale: Tensor
    bits: int

    def apply(self, stored: Tensor) -> Tensor:
        """Compute the output for stored integers [..., K]: float32 [..., N]."""
        return (stored @ self.weight.T + self.bias.float()) * torch.exp2(self.log2_scale).float()


def scale_steps(bits: int, config: QuantConfig) -> tuple[float, ...]:
    """Return the candidate scales of a channel, as log2 relative to the scale that covers its largest weight."""
    if bits > NARROW_BITS or config.criterion == "range":
        return (0.0,)
    return (0.0, -0.25, -0.5) if config.scales == "float" else (0.0, -1.0, -2.0)


def covering_scales(goal: Tensor, bits: int, config: QuantConfig) -> Tensor:
    """Return log2 of the smallest scale that covers the largest weight of each output channel: float64 [N]."""
    magnitude = goal.abs().amax(dim=1)
    if not config.weight_channels:
        magnitude = magnitude.max().expand_as(magnitude)
    return log2_scale_for(magnitude, bits, config.scales)


def choose_scales(losses: Tensor, config: QuantConfig) -> Tensor:
    """Return the index of the smallest of the losses [steps, N] of each row, or of all rows together: int64 [N]."""
    if not config.weight_channels:
        losses = losses.sum(dim=1, keepdim=True).expand_as(losses)
    return losses.argmin(dim=0)


def in_units(goal: Tensor, log2_scale: Tensor) -> Tensor:
    """Divide each row by its scale: float32 [N, K]."""
    return (goal / torch.exp2(log2_scale).unsqueeze(1)).float()


def round_nearest(goal: Tensor, hessian: Tensor, bits: int, config: QuantConfig) -> tuple[Tensor, Tensor]:
    """Round to nearest. Returns the codes, float32 [N, K], and the log2 scales, float64 [N]."""
    start = covering_scales(goal, bits, config)
    steps = torch.tensor(scale_steps(bits, config), dtype=torch.float64)
    losses = []
    for step in steps:
        error = Grid((start + step).unsqueeze(1), bits).fake(goal.float()).double() - goal
        losses.append(((error @ hessian) * error).sum(dim=1))
    log2_scale = start + steps[choose_scales(torch.stack(losses), config)]
    return torch.floor(in_units(goal, log2_scale) + 0.5).clamp_(*code_range(bits)), log2_scale


def round_compensated(
    goal: Tensor, hessian: Tensor, bits: int, config: QuantConfig, workers: Workers
) -> tuple[Tensor, Tensor]:
    """Round with error compensation, and choose the scale of each channel by its loss after compensation.

    The loss of plain rounding would choose scales that are too coarse: compensation removes most of the error that
    clipping causes, so a finer scale often has the smaller loss in the end.

    Args:
        goal: float64 [N, K], the matrix to round.
        hessian: float64 [K, K], second moment of the inputs.
        bits: Width of the weights.
        config: The method: candidate scales, and whether each channel has its own.
        workers: Threads that share the rows.

    Returns:
        The codes, float32 [N, K], and the log2 scales, float64 [N].
    """
    start = covering_scales(goal, bits, config)
    steps = torch.tensor(scale_steps(bits, config), dtype=torch.float64)
    factor, order = inverse_factor(hessian)
    ordered = damped(hessian)[order][:, order].float()
    goal = goal[:, order]
    chunks = [slice(first, min(first + ROWS, len(goal))) for first in range(0, len(goal), ROWS)]

    def attempt(task: tuple[Tensor, slice]) -> tuple[Tensor, Tensor]:
        step, rows = task
        units = in_units(goal[rows], start[rows] + step)
        codes = compensate(units, factor, bits)
        return codes, row_losses(units, codes, ordered) * 4.0 ** (start[rows] + step)

    attempts = []
    for step in steps:
        parts = workers.map(attempt, [(step, rows) for rows in chunks])
        attempts.append([torch.cat(column) for column in zip(*parts, strict=True)])
    chosen = choose_scales(torch.stack([losses for _, losses in attempts]), config)
    log2_scale = start + steps[chosen]
    codes = torch.stack([codes for codes, _ in attempts])[chosen, torch.arange(len(goal))]
    if bits <= NARROW_BITS:
        units = in_units(goal, log2_scale)
        start_codes = codes
        codes = torch.cat(
            workers.map(lambda rows: descend(units[rows], start_codes[rows], ordered, bits, SWEEPS), chunks)
        )
    stored = torch.empty_like(codes)
    stored[:, order] = codes
    return stored, log2_scale


@dataclass(frozen=True)
class LinearOptions:
    """How one linear layer is quantized, and what its output is compared with.

    Attributes:
        bits: Width of the weights, 2 to 8.
        config: The method: rounding, scales and bias correction.
        target_mean: float64 [N], mean output that bias correction reaches. None: the mean output of the float layer on
            the input before it is quantized.
        readout: float32 [N, M]. Rounding approximates ``readout·s``, where s are the float model's values
            (``InputStatistics.source``). None: rounding approximates the float layer's output on the quantized input.
    """

    bits: int
    config: QuantConfig
    target_mean: Tensor | None = None
    readout: Tensor | None = None


def quantize_linear(
    weight: Tensor,
    bias: Tensor,
    inputs: Grid,
    seen: InputStatistics,
    options: LinearOptions,
    workers: Workers,
) -> QuantizedLinear:
    """Quantize the weights and the bias of one linear layer.

    Args:
        weight: float32 [N, K].
        bias: float32 [N].
        inputs: Grid of the layer's input.
        seen: Statistics of that input.
        options: Width, method and target.
        workers: Threads that share the output rows.

    Returns:
        The layer; its bias is at the accumulator's scale and has absorbed the offset of the input.
    """
    config, bits = options.config, options.bits
    target_mean, readout = options.target_mean, options.readout
    effective = (weight * inputs.scale).double()
    hessian, goal = seen.hessian, effective
    if config.weight_rounding == "gptq":
        if readout is not None and seen.cross is not None and seen.source is not None:
            mean = seen.total / seen.count
            # Centred, because the bias corrects the mean.
            hessian = hessian - seen.count * torch.outer(mean, mean)
            goal = aim(effective, hessian, (seen.cross - torch.outer(mean, seen.source)) @ readout.double().T)
        stored, log2_scale = round_compensated(goal, hessian, bits, config, workers)
    else:
        stored, log2_scale = round_nearest(goal, hessian, bits, config)
    step = torch.exp2(log2_scale)
    exact_bias = bias.double() / step
    if config.correction_share:
        if target_mean is None:
            target_mean = bias.double() + effective @ seen.exact / seen.count
        corrected = target_mean / step - stored.double() @ seen.total / seen.count
        exact_bias += config.correction_share * (corrected - exact_bias)
    exact_bias = exact_bias + (stored.double() * inputs.offset).sum(dim=1)
    limit = float(np.iinfo(np.int32).max)
    return QuantizedLinear(stored, torch.floor(exact_bias + 0.5).clamp_(-limit, limit), log2_scale, bits)
