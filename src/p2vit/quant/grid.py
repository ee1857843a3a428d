"""Quantization grids, ``value = (stored + offset) · 2^log2_scale``, and how to choose one from a range."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.quant.config import Scales

#: Magnitudes below this are treated as equal to it, so that channels of zeros get a finite scale.
SILENT = 2.0**-40


@dataclass(frozen=True)
class Grid:
    """Signed integers of a width, and the real values that they represent.

    Attributes:
        log2_scale: log2 of the scale, float64, 0-d or [C]; whole numbers for power-of-two scales.
        bits: Width in bits.
        offset: Whole number added to the stored integer, float32, 0-d or [C].
    """

    log2_scale: Tensor
    bits: int = 8
    offset: float | Tensor = 0.0

    @property
    def scale(self) -> Tensor:
        """Scale, float32, the shape of ``log2_scale``."""
        return torch.exp2(self.log2_scale).float()

    def stored(self, x: Tensor) -> Tensor:
        """Quantize: return the stored integers as float32, rounded half up and saturated."""
        low, high = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return torch.floor(x / self.scale + (0.5 - self.offset)).clamp_(low, high)

    def fake(self, x: Tensor) -> Tensor:
        """Fake-quantize: return the nearest representable values, float32."""
        return (self.stored(x) + self.offset) * self.scale

    def exponents(self) -> NDArray[np.int8]:
        """Return the scale exponents as int8, in the shape of ``log2_scale``.

        Raises:
            ValueError: A scale is not a power of two.
        """
        rounded = self.log2_scale.round()
        if not torch.equal(rounded, self.log2_scale):
            raise ValueError("a scale is not a power of two")
        return rounded.numpy().astype(np.int8)

    def offsets(self) -> NDArray[np.int32]:
        """Return the offsets as int32, 0-d or [C]."""
        return np.asarray(self.offset, dtype=np.float64).astype(np.int32)

    def moved(self, by: int) -> "Grid":
        """Return the same grid with scales ``2^by`` times as large."""
        return Grid(self.log2_scale + by, self.bits, self.offset)


def uniform_grid(exponent: int, bits: int = 16) -> Grid:
    """Return a grid with one power-of-two scale for all channels."""
    return Grid(torch.tensor(float(exponent), dtype=torch.float64), bits)


def log2_scale_for(magnitude: Tensor, bits: int, rule: Scales) -> Tensor:
    """Return log2 of the scale with which a signed width covers a magnitude.

    Args:
        magnitude: Largest absolute value, any shape.
        bits: Width in bits.
        rule: How the scale becomes a power of two, see :class:`~p2vit.quant.config.QuantConfig`. ``pot`` and ``ceil``
            round up, so that the range is covered.

    Returns:
        float64, in the shape of ``magnitude``.
    """
    exact = torch.log2(magnitude.double().clamp(min=SILENT) / ((1 << (bits - 1)) - 0.5))
    return round_log2(exact, rule)


def round_log2(exact: Tensor, rule: Scales) -> Tensor:
    """Round real-valued log2 scales to whole numbers by a rule; ``float`` keeps them."""
    if rule == "float":
        return exact
    if rule == "floor":
        return torch.floor(exact)
    if rule == "nearest":
        return torch.round(exact)
    return torch.ceil(exact)


def range_grid(magnitude: Tensor, rule: Scales, bits: int = 8, per_channel: bool = True) -> Grid:
    """Return a symmetric grid that covers channel magnitudes.

    Args:
        magnitude: Largest absolute value of each channel, [C].
        rule: How the scale becomes a power of two.
        bits: Width in bits.
        per_channel: Use one scale per channel instead of one for all.
    """
    return Grid(log2_scale_for(magnitude if per_channel else magnitude.max(), bits, rule), bits)


def offset_grid(low: Tensor, high: Tensor, rule: Scales, bits: int = 8) -> Grid:
    """Return an asymmetric grid: the lowest code represents about ``low``, and ``high`` is covered.

    Args:
        low: Smallest value, 0-d or [C].
        high: Largest value, in the shape of ``low``.
        rule: How the scale becomes a power of two.
        bits: Width in bits.
    """
    low, high = low.double(), high.double()
    exact = torch.log2((high - low).clamp(min=SILENT) / ((1 << bits) - 1))
    log2_scale = round_log2(exact, rule)
    offset = torch.floor(low / torch.exp2(log2_scale) + 0.5) + (1 << (bits - 1))
    return Grid(log2_scale, bits, offset.float())


def tensor_error(x: Tensor, grid: Grid) -> Tensor:
    """Sum the squared error of each channel: float64 [C], or 0-d if the grid has one scale."""
    error = (grid.fake(x) - x).double() ** 2
    return error.reshape(-1, x.shape[-1]).sum(0) if grid.log2_scale.ndim else error.sum()


def tensor_mse_grid(x: Tensor, start: Grid, reach: tuple[int, ...] = (-2, -1, 0, 1)) -> Grid:
    """Choose the power-of-two scale with the least squared error of the tensor itself.

    Args:
        x: Values, float32 [..., C].
        start: Grid to start from. If it has a scale per channel, each channel chooses for itself.
        reach: Candidate exponents, relative to ``start``.

    Source: adaptive PoT rounding of the P²-ViT paper.
    """
    errors = torch.stack([tensor_error(x, start.moved(by)) for by in reach])
    best = torch.tensor(reach, dtype=torch.float64)[errors.argmin(dim=0)]
    return Grid(start.log2_scale + best, start.bits, start.offset)
