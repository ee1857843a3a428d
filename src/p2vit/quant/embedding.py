"""Image embeddings: a projection of the pooled vector, normalised to a root mean square of 1, in integers.

LayerNorm takes the mean away before it divides, and an embedding's mean is not zero. So the projection puts out every
number twice, once negated: the mean of that is zero, LayerNorm divides it by its root mean square, and a last linear
layer puts both halves together again. No operator is needed that other models do not have.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.activation_grids import Ranges, limit_to_shifter
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import normalise
from p2vit.quant.grid import Grid, log2_scale_for, range_grid
from p2vit.quant.weights import InputStatistics, LinearOptions, QuantizedLinear, quantize_linear
from p2vit.quant.workers import Workers

#: Far below the mean square of any embedding; keeps an embedding of zeros finite.
EPSILON = 1e-12
#: Room above the largest value seen: there is one embedding per calibration photo.
HEADROOM = 1.25
#: Width of weights that are −1, 0 and 1.
SIGN_BITS = 2


@dataclass(frozen=True)
class QuantizedEmbedding:
    """The layers behind the pooled vector.

    Attributes:
        projection: Layer [2·P, C]: the projection, and the same negated.
        projected: Grid of its output, 16 bits.
        normal: Grid of the normalised values [2·P], 8 bits, one exponent per channel.
        halves: Layer [P, 2·P] that joins both halves.
    """

    projection: QuantizedLinear
    projected: Grid
    normal: Grid
    halves: QuantizedLinear

    @property
    def grid(self) -> Grid:
        """Grid of the embedding [P], 8 bits, one exponent per channel."""
        return Grid(self.normal.log2_scale[: len(self.halves.weight)], self.normal.bits)

    def values(self, stored: Tensor) -> Tensor:
        """Compute the embedding, float32 [B, P], from the stored integers of the pooled vector [B, C]."""
        normal = normalise(self.projected.fake(self.projection.apply(stored)), EPSILON)
        return self.grid.fake(self.halves.apply(self.normal.stored(normal)))


def quantize_image_embedding(
    model: CanonicalViT, pooled: Tensor, inputs: Grid, config: QuantConfig, workers: Workers
) -> QuantizedEmbedding:
    """Quantize the projection, and choose the grids behind it.

    Args:
        model: The float model.
        pooled: Pooled vectors of the quantized model before they are quantized, float32 [photos, C].
        inputs: Grid of the pooled vector.
        config: The method.
        workers: Threads that share the work.
    """
    assert model.projection is not None
    weight = model.projection.weight
    seen = InputStatistics.of(pooled.unsqueeze(1), inputs, torch.ones(1))
    options = LinearOptions(config.head_bits, replace(config, weight_rounding="nearest"))
    half = quantize_linear(weight, torch.zeros(len(weight)), inputs, seen, options, workers)
    largest = (1 << (half.bits - 1)) - 1
    codes = half.weight.clamp(-largest, largest)  # so that every code can be negated
    projection = QuantizedLinear(
        torch.cat([codes, -codes]), torch.cat([half.bias, -half.bias]), half.log2_scale.repeat(2), half.bits
    )
    values = projection.apply(inputs.stored(pooled))
    projected = Grid(log2_scale_for(values.abs().max() * HEADROOM, 16, config.scales), 16)
    magnitude = Ranges.of(normalise(values, EPSILON)).magnitude.view(2, -1).amax(dim=0) * HEADROOM
    normal = limit_to_shifter(
        range_grid(magnitude.repeat(2), config.scales, per_channel=True), 2 * len(weight)
    )
    same = torch.eye(len(weight))
    halves = QuantizedLinear(
        torch.cat([same, -same], dim=1),
        torch.zeros(len(weight), dtype=torch.float64),
        normal.log2_scale[: len(weight)] - 1,
        SIGN_BITS,
    )
    return QuantizedEmbedding(projection, projected, normal, halves)
