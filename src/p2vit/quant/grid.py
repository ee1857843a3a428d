"""Quantization grids: ``value = (stored + offset) · 2^log2_scale``, and how a range becomes one."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.quant.config import Scales

#: Below this a channel counts as silent; its exponent then does not matter.
SILENT = 2.0**-40


@dataclass(frozen=True)
class Grid:
    """Integers of a width and what they stand for.

    Attributes:
        log2_scale: float64, 0-d or [C]; whole numbers for powers of two.
        bits: Width, signed.
        offset: float32 of whole numbers, 0-d or [C]: added to the stored integer.
    """

    log2_scale: Tensor
    bits: int = 8
    offset: float | Tensor = 0.0

    @property
    def scale(self) -> Tensor:
        """float32, the shape of ``log2_scale``."""
        return torch.exp2(self.log2_scale).float()

    def stored(self, x: Tensor) -> Tensor:
        """The integers, as float32: round half up, saturate."""
        low, high = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return torch.floor(x / self.scale + (0.5 - self.offset)).clamp_(low, high)

    def fake(self, x: Tensor) -> Tensor:
        """The nearest representable values, float32."""
        return (self.stored(x) + self.offset) * self.scale

    def exponents(self) -> NDArray[np.int8]:
        """The scale exponents as int8, the shape of ``log2_scale``.

        Raises:
            ValueError: a scale is not a power of two.
        """
        rounded = self.log2_scale.round()
        if not torch.equal(rounded, self.log2_scale):
            raise ValueError("a scale is not a power of two")
        return rounded.numpy().astype(np.int8)

    def offsets(self) -> NDArray[np.int32]:
        """The offsets as int32, 0-d or [C]."""
        return np.asarray(self.offset, dtype=np.float64).astype(np.int32)

    def moved(self, by: int) -> "Grid":
        """The same grid, ``2^by`` as coarse."""
        return Grid(self.log2_scale + by, self.bits, self.offset)


def uniform_grid(exponent: int, bits: int = 16) -> Grid:
    """A grid of one power of two for all channels."""
    return Grid(torch.tensor(float(exponent), dtype=torch.float64), bits)


def log2_scale_for(magnitude: Tensor, bits: int, rule: Scales) -> Tensor:
    """Scale that makes a signed width cover ``magnitude``, by the rule that brings it to a power of two.

    Args:
        magnitude: Largest absolute value, any shape.
        bits: Width.
        rule: See :class:`~p2vit.quant.config.QuantConfig`; ``pot`` covers the range, as ``ceil``.

    Returns:
        float64, the shape of ``magnitude``.
    """
    exact = torch.log2(magnitude.double().clamp(min=SILENT) / ((1 << (bits - 1)) - 0.5))
    return round_log2(exact, rule)


def round_log2(exact: Tensor, rule: Scales) -> Tensor:
    """Bring real-valued log2 scales to whole numbers by a rule; ``float`` leaves them."""
    if rule == "float":
        return exact
    if rule == "floor":
        return torch.floor(exact)
    if rule == "nearest":
        return torch.round(exact)
    return torch.ceil(exact)


def range_grid(magnitude: Tensor, rule: Scales, bits: int = 8, per_channel: bool = True) -> Grid:
    """Symmetric grid for channel magnitudes.

    Args:
        magnitude: Largest absolute value of each channel, [C].
        rule: How the scale becomes a power of two.
        bits: Width.
        per_channel: One scale per channel, or one for all.
    """
    return Grid(log2_scale_for(magnitude if per_channel else magnitude.max(), bits, rule), bits)


def offset_grid(low: Tensor, high: Tensor, rule: Scales, bits: int = 8) -> Grid:
    """Asymmetric grid: stored −2^(bits−1) stands for about ``low``, and ``high`` is still covered.

    Args:
        low: Least value, 0-d or [C].
        high: Largest value, the shape of ``low``.
        rule: How the scale becomes a power of two.
        bits: Width.
    """
    low, high = low.double(), high.double()
    exact = torch.log2((high - low).clamp(min=SILENT) / ((1 << bits) - 1))
    log2_scale = round_log2(exact, rule)
    offset = torch.floor(low / torch.exp2(log2_scale) + 0.5) + (1 << (bits - 1))
    return Grid(log2_scale, bits, offset.float())


def tensor_error(x: Tensor, grid: Grid) -> Tensor:
    """Summed squared error of each channel, [C] (or 0-d for one scale)."""
    error = (grid.fake(x) - x).double() ** 2
    return error.reshape(-1, x.shape[-1]).sum(0) if grid.log2_scale.ndim else error.sum()


def tensor_mse_grid(x: Tensor, start: Grid, reach: tuple[int, ...] = (-2, -1, 0, 1)) -> Grid:
    """The paper's adaptive rounding: the power of two with the least squared error of the tensor itself.

    Candidates lie around the starting exponent; per channel where the grid has a scale per channel.
    """
    errors = torch.stack([tensor_error(x, start.moved(by)) for by in reach])
    best = torch.tensor(reach, dtype=torch.float64)[errors.argmin(dim=0)]
    return Grid(start.log2_scale + best, start.bits, start.offset)
