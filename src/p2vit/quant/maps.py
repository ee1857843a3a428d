"""Feature maps of a quantized model: patch tokens behind a block, through the last LayerNorm, on grids of 8 bits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from p2vit.models.canonical import CanonicalViT
from p2vit.program.maps import FeatureMap
from p2vit.quant.activation_grids import Ranges
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import DiskArray
from p2vit.quant.fold import Affine, normalise
from p2vit.quant.grid import Grid, range_grid
from p2vit.quant.workers import Workers


@dataclass(frozen=True)
class QuantizedMap:
    """One feature map.

    Attributes:
        map: Its name, grid and block.
        norm: Gain and bias of the last LayerNorm, the mean error of each channel taken away.
        grid: Of the result: 8 bits, one exponent per channel.
    """

    map: FeatureMap
    norm: Affine
    grid: Grid

    def values(self, x: Tensor, epsilon: float) -> Tensor:
        """The map for a residual stream, float32 [B, N, C] → [B, patches, C]."""
        normal = normalise(x[:, self.map.first :], epsilon)
        return self.grid.fake(normal * self.norm.weight + self.norm.bias)


def quantize_map(
    model: CanonicalViT,
    wanted: FeatureMap,
    stream: DiskArray,
    mean: Tensor,
    config: QuantConfig,
    workers: Workers,
) -> QuantizedMap:
    """Choose a map's grid, and take the mean error of each channel away.

    Args:
        model: The float model.
        wanted: Which map.
        stream: The quantized model's stream behind its block.
        mean: float64 [C], the float model's map averaged over photos and patches.
        config: The method.
        workers: Who shares the work.
    """
    first, epsilon = wanted.first, model.config.norm_eps
    weight: Tensor = model.norm.weight
    bias: Tensor = model.norm.bias

    def seen(index: int) -> tuple[Ranges, Tensor]:
        normal = normalise(stream[index][:, first:], epsilon)
        return Ranges.of(normal), normal.double().sum(dim=(0, 1))

    parts = workers.map(seen, stream.batches)
    if config.correction_share:
        count = len(stream) * wanted.grid[0] * wanted.grid[1]
        ours = torch.stack([total for _, total in parts]).sum(dim=0) / count
        bias = (mean - ours * weight.double()).float()
    ranges = Ranges.merge([part for part, _ in parts])
    ends = torch.stack([ranges.low * weight + bias, ranges.high * weight + bias])
    grid = range_grid(ends.abs().amax(dim=0), config.scales, per_channel=True)
    return QuantizedMap(wanted, Affine(weight, bias), grid)
