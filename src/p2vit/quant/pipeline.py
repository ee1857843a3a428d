"""From a float model and a few photos to a quantized model: embedding, blocks in order, head."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.block import BlockQuantizer, FloatTwin, Menu, weighted_sum
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import Affine, fold_block, fold_pixels
from p2vit.quant.grid import Grid, log2_scale_for, range_grid
from p2vit.quant.guards import with_guards
from p2vit.quant.simulated import QuantizedBlock, QuantizedEnds, QuantizedViT, centred_patches
from p2vit.quant.sites import Ranges
from p2vit.quant.stream import Spool, Stream
from p2vit.quant.weights import InputStatistics, quantize_linear
from p2vit.quant.workers import Workers

#: Room above the largest value seen: the residual stream has bits to spare, the feature few samples.
RESIDUAL_HEADROOM, FEATURE_HEADROOM = 1.25, 1.25

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass
class FloatStream:
    """What quantization needs to know of the float model's own residual stream.

    Attributes:
        after: Ranges, one per add: tokens, then attention and MLP of each block.
        means: float64 [adds, C], means over photos and tokens, weighted by :func:`token_importance`.
        features: float32 [photos, C].
    """

    after: list[Ranges]
    means: Tensor
    features: Tensor

    @property
    def magnitude(self) -> float:
        """Largest absolute value anywhere."""
        return max(float(seen.magnitude.max()) for seen in self.after)


def quantize_model(
    model: CanonicalViT,
    photos: Iterable[NDArray[np.uint8]],
    config: QuantConfig,
    threads: int | None = None,
    progress: Progress = silent,
    menu: Menu | None = None,
) -> tuple[QuantizedViT, int]:
    """Quantize a model.

    Memory does not grow with the number of photos; their activations go through files. The result depends on the
    model, the photos, their order and the configuration, not on ``threads``.

    Args:
        model: In canonical form.
        photos: Batches uint8 [B, H, W, 3].
        config: The method.
        threads: Workers; by default what the machine has.
        progress: Called with (stage, done, total).
        menu: Widths at which every layer is wanted beside the one that the model gets.

    Returns:
        The quantized model and the number of photos given.
    """
    with Workers(threads) as workers, Spool() as spool, torch.inference_mode():
        guarded = with_guards(photos, model.config.image_size, config.guard_photos)
        pixels = spool.pixels(guarded, (*model.config.image_size, 3))
        progress("calibrate", 0, 1)
        shape = (len(pixels), model.config.tokens, model.config.embed_dim)
        streams = [spool.new(name, shape) for name in ("stream", "scratch")]
        exact = spool.new("exact", shape) if config.aims_at_float else None
        float_stream = observe(model, pixels, config, workers)
        progress("calibrate", 1, 1)
        grids = residual_grids(float_stream, config)
        ends = quantize_embedding(model, pixels, grids[0], config, workers)
        result = QuantizedViT(model.config, ends, [])

        def start(index: int) -> None:
            streams[0][index] = result.embed(pixels[index])
            if exact is not None:
                exact[index] = model.embed(pixels[index])

        workers.map(start, pixels.batches)
        depth = len(model.blocks)
        for index, block in enumerate(model.blocks):
            progress("blocks", index, depth)
            folded = fold_block(block, model.config.head_dim)  # type: ignore[arg-type]
            quantized = QuantizedBlock(
                model.config.heads,
                model.config.norm_eps,
                model.config.activation,
                folded.score_exponent,
                config.softmax,
                residual_sites(grids[2 * index : 2 * index + 3]),
            )
            quantizer = BlockQuantizer(
                name=f"blocks.{index}",
                folded=folded,
                block=quantized,
                config=config,
                importance=token_importance(model, index, config),
                wanted=float_stream.means[2 * index : 2 * index + 2],
                stream=streams[0],
                scratch=streams[1],
                workers=workers,
                twin=None if exact is None else FloatTwin(block, exact),  # type: ignore[arg-type]
                menu=menu,
            )
            result.blocks.append(quantizer.run())
        progress("blocks", depth, depth)
        quantize_head(model, result, streams[0], float_stream.features, config, workers)
        return result, len(pixels) - config.guard_photos


def observe(model: CanonicalViT, pixels: Stream, config: QuantConfig, workers: Workers) -> FloatStream:
    """Run the float model over all photos and keep ranges, means and features."""
    weights = [token_importance(model, index, config) for index in range(len(model.blocks))]

    def run(index: int) -> tuple[list[Ranges], list[Tensor], Tensor]:
        x = model.embed(pixels[index])
        seen, sums = [Ranges.of(x)], []
        for block, weight in zip(model.blocks, weights, strict=True):
            for norm, half in ((block.norm1, block.attention), (block.norm2, block.mlp)):
                x = x + half(norm(x))  # type: ignore[operator]
                seen.append(Ranges.of(x))
                sums.append(weighted_sum(x, weight))
        return seen, sums, model.pool(x)

    parts = workers.map(run, pixels.batches)
    ranges = [Ranges.merge(list(column)) for column in zip(*(part[0] for part in parts), strict=True)]
    total = torch.stack([torch.stack(part[1]) for part in parts]).sum(0)
    tokens = len(pixels) * model.config.tokens
    return FloatStream(ranges, total / tokens, torch.cat([part[2] for part in parts]))


def token_importance(model: CanonicalViT, index: int, config: QuantConfig) -> Tensor:
    """Weight of each token in the statistics of block ``index``, float32 [N]; they add up to N.

    The class token is what the head of a token-pooled model reads, but one of hundreds: by itself it would hardly
    count. In the last block it is all that counts; the others only steady the statistics there.
    """
    tokens = model.config.tokens
    weights = torch.ones(tokens)
    if model.config.pool == "token" and tokens > 1:
        share = config.last_share if index == len(model.blocks) - 1 else config.class_share
        weights[0] = tokens * share
        weights[1:] = tokens * (1 - share) / (tokens - 1)
    return weights


def residual_grids(ranges: FloatStream, config: QuantConfig) -> list[Grid]:
    """Grid of the stream at each add: one for all at 16 bits, one per channel and add at 8."""
    if config.residual_bits == 16:
        magnitude = torch.tensor(ranges.magnitude * RESIDUAL_HEADROOM)
        grid = Grid(log2_scale_for(magnitude, 16, config.scales), 16)
        return [grid] * len(ranges.after)
    grids = []
    for seen in ranges.after:
        scales = range_grid(seen.magnitude, config.scales).log2_scale
        # The paper's PTF: factors 2^0 to 2^3 below one scale for the tensor; it also bounds the aligned width.
        grids.append(Grid(torch.maximum(scales, scales.max() - 3), 8))
    return grids


def residual_sites(grids: list[Grid]) -> dict[str, Grid]:
    """Grids of one block's two adds and of the branches that feed them, which are as fine as both neighbours."""
    sites = {}
    for half, (before, after) in enumerate(pairwise(grids), start=1):
        sites[f"add{half}"] = after
        sites[f"branch{half}"] = Grid(torch.minimum(before.log2_scale, after.log2_scale), 16)
    return sites


def quantize_embedding(
    model: CanonicalViT, pixels: Stream, stream: Grid, config: QuantConfig, workers: Workers
) -> QuantizedEnds:
    """Round the patch embedding and bring prefix and positions to the stream's grid."""
    source = fold_pixels(model)
    grid = Grid(torch.zeros((), dtype=torch.float64))
    patch = model.config.patch_size
    even = torch.ones(model.config.tokens - model.config.prefix_tokens)
    parts = workers.map(
        lambda i: InputStatistics.of(centred_patches(pixels[i], patch), grid, even), pixels.batches
    )
    layer = quantize_linear(
        source.weight, source.bias, grid, InputStatistics.merge(parts), config.head_bits, config, workers
    )
    prefix = model.config.prefix_tokens
    norm = Affine(model.norm.weight, model.norm.bias)
    before = None if model.pre_norm is None else Affine(model.pre_norm.weight, model.pre_norm.bias)
    return QuantizedEnds(
        patch_embed=layer,
        patch_grid=Grid(stream.log2_scale, 16),
        stream=stream,
        prefix=stream.fake(model.prefix + model.position[:prefix]),
        position=stream.fake(model.position[prefix:]),
        pre_norm=before,
        norm=norm,
    )


def quantize_head(
    model: CanonicalViT,
    result: QuantizedViT,
    stream: Stream,
    features: Tensor,
    config: QuantConfig,
    workers: Workers,
) -> None:
    """Choose the feature's grid and round the head; all logits share one exponent, so that they compare."""
    pooled = torch.cat(workers.map(lambda i: result.pool(stream[i]), stream.batches))
    if config.bias_correction:
        error = (features - pooled).double().mean(dim=0).float()
        result.ends.norm = Affine(result.ends.norm.weight, result.ends.norm.bias + error)
        pooled = pooled + error
    result.ends.feature = range_grid(Ranges.of(pooled).magnitude * FEATURE_HEADROOM, config.scales)
    if model.head is None:
        return
    head = model.head
    plain = QuantConfig(
        scales=config.scales, criterion="range", weight_channels=False, weight_rounding="nearest"
    )
    seen = InputStatistics.of(pooled.unsqueeze(1), result.ends.feature, torch.ones(1))
    result.ends.head = quantize_linear(
        head.weight, head.bias, result.ends.feature, seen, config.head_bits, plain, workers
    )


def simulate(
    model: QuantizedViT, pixels: NDArray[np.uint8], threads: int | None = None
) -> tuple[Tensor, Tensor]:
    """Logits and features of the simulated model over photos uint8 [B, H, W, 3]."""
    with Workers(threads) as workers:
        batches = torch.from_numpy(pixels).split(4)
        parts = workers.map(model.logits, list(batches))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
