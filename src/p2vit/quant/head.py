"""Quantization of the feature and of the classification head."""

from dataclasses import replace

import torch

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.activation_grids import Ranges
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import DiskArray
from p2vit.quant.embedding import quantize_image_embedding
from p2vit.quant.float_statistics import FloatStatistics
from p2vit.quant.fold import Affine
from p2vit.quant.grid import range_grid
from p2vit.quant.simulated import QuantizedViT
from p2vit.quant.weights import InputStatistics, LinearOptions, quantize_linear
from p2vit.quant.workers import Workers

#: Factor on the largest feature observed, so that other photos do not saturate. Synthetic photos make it unnecessary.
FEATURE_HEADROOM = 1.25


def quantize_head(
    model: CanonicalViT,
    result: QuantizedViT,
    stream: DiskArray,
    exact: FloatStatistics,
    config: QuantConfig,
    workers: Workers,
) -> None:
    """Choose the grid of the feature, and quantize the head.

    All logits share one exponent, so that they can be compared as integers.

    Args:
        model: The float model.
        result: The quantized model; its feature grid, head and last bias are set.
        stream: Residual stream of the quantized model after the last block.
        exact: Pooled vectors of the float model and their ranges.
        config: The method.
        workers: Threads that share the work.
    """
    pooled = torch.cat(workers.map(lambda i: result.pool(stream[i]), stream.batches))
    if config.bias_correction is not False:
        error = (exact.features - pooled).double().mean(dim=0).float()
        result.ends.norm = Affine(result.ends.norm.weight, result.ends.norm.bias + error)
        pooled = pooled + error
    ranges = Ranges.merge([Ranges.of(pooled), exact.feature])
    headroom = 1.0 if config.range_photos else FEATURE_HEADROOM
    result.ends.feature = range_grid(ranges.magnitude * headroom, config.scales)
    inputs = result.ends.feature
    if model.projection is not None:
        result.ends.embedding = quantize_image_embedding(model, pooled, inputs, config, workers)
        pooled, inputs = result.ends.head_input(pooled), result.ends.embedding.grid
    if model.head is None:
        return
    head = model.head
    plain = replace(config, criterion="range", weight_channels=False)
    seen = InputStatistics.of(pooled.unsqueeze(1), inputs, torch.ones(1))
    result.ends.head = quantize_linear(
        head.weight, head.bias, inputs, seen, LinearOptions(config.head_bits, plain), workers
    )
