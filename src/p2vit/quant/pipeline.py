"""Quantization of a whole model: embedding, blocks in order, and head."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import Block, CanonicalViT
from p2vit.program.maps import FeatureMap
from p2vit.quant.activation_grids import Ranges
from p2vit.quant.attention import WindowAttention
from p2vit.quant.block import BlockQuantizer, weighted_sum
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import ArrayFolder, DiskArray, ResidualStreams
from p2vit.quant.embedding import quantize_image_embedding
from p2vit.quant.float_reference import ExtraWidths, FloatReference
from p2vit.quant.fold import Affine, fold_block, fold_pixels
from p2vit.quant.grid import Grid, log2_scale_for, range_grid
from p2vit.quant.maps import quantize_map
from p2vit.quant.names import check_widths
from p2vit.quant.pooling import quantize_pool
from p2vit.quant.simulated import QuantizedBlock, QuantizedEnds, QuantizedViT, centred_patches
from p2vit.quant.synthetic_photos import with_synthetic_photos
from p2vit.quant.weights import InputStatistics, LinearOptions, quantize_linear
from p2vit.quant.workers import Workers

#: Factors on the largest value observed, so that other photos do not saturate the residual stream or the feature.
RESIDUAL_HEADROOM, FEATURE_HEADROOM = 1.25, 1.25

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass
class FloatStatistics:
    """Ranges, means and features of the float model over the calibration photos.

    The names are ``tokens``, ``blocks.N.merge`` (if patches are merged), ``blocks.N.add1``, ``blocks.N.add2``, and
    with an attention pooling head ``pool.add1`` and ``pool.add2``.

    Attributes:
        after: Name → ranges of the residual stream there.
        means: Name → mean over photos and tokens, weighted by :func:`token_importance`, float64 [C]. ``maps.N`` is the
            mean over photos and patches of the feature map of block N.
        features: Pooled vectors of the photos, float32 [photos, C].
    """

    after: dict[str, Ranges]
    means: dict[str, Tensor]
    features: Tensor

    def wanted(self, name: str) -> Tensor:
        """Return the means after the two adds of a block, float64 [2, C]."""
        return torch.stack([self.means[f"{name}.add1"], self.means[f"{name}.add2"]])

    @property
    def magnitude(self) -> float:
        """Largest absolute value of the residual stream."""
        return max(float(seen.magnitude.max()) for seen in self.after.values())


def quantize_model(
    model: CanonicalViT,
    photos: Iterable[NDArray[np.uint8]],
    config: QuantConfig,
    threads: int | None = None,
    progress: Progress = silent,
    extra_widths: ExtraWidths | None = None,
    maps: tuple[FeatureMap, ...] = (),
) -> tuple[QuantizedViT, int]:
    """Quantize a model.

    Activations are kept in files, so memory does not grow with the number of photos. The result depends on the model,
    the photos, their order and the configuration, but not on ``threads``.

    Args:
        model: Float model in canonical form.
        photos: Batches of photos, uint8 [B, H, W, 3].
        config: The method.
        threads: Number of threads; None uses the processor cores of this machine, at most 8.
        progress: Called with (stage, done, total).
        extra_widths: Further widths at which every layer is rounded, for a search.
        maps: Feature maps that the model puts out.

    Returns:
        The quantized model, and the number of photos.

    Raises:
        P2vitError: A width is not allowed or names a layer that the model does not have; or the disk is full.
    """
    check_widths(model, config)
    layers = {each.layer for each in maps if each.layer is not None}
    with Workers(threads) as workers, ArrayFolder() as folder, torch.inference_mode():
        guarded = with_synthetic_photos(photos, model.config.image_size, config.guard_photos)
        pixels = folder.pixels(guarded, (*model.config.image_size, 3))
        progress("calibrate", 0, 1)
        streams = ResidualStreams.new(folder, "stage0", len(pixels), model.config.blocks[0], config)
        float_statistics = observe(model, pixels, config, workers, layers)
        progress("calibrate", 1, 1)
        grids = residual_grids(float_statistics, config)
        ends = quantize_embedding(model, pixels, grids["tokens"], config, workers)
        result = QuantizedViT(model.config, ends, [])
        first = streams

        def start(index: int) -> None:
            first.own[index] = result.embed(pixels[index])
            if first.exact is not None:
                first.exact[index] = model.embed(pixels[index])

        workers.map(start, pixels.batches)
        depth, last = len(model.blocks), "tokens"
        for index, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            progress("blocks", index, depth)
            name, before = f"blocks.{index}", streams
            if block.shape.merge is not None:
                streams = ResidualStreams.new(folder, f"stage{index}", len(pixels), block.shape, config)
                last = f"{name}.merge"
            quantizer = BlockQuantizer(
                name=name,
                folded=fold_block(block),
                block=quantized_block(model, block, grids, last, name, config),
                config=config,
                importance=token_importance(model, index, config, layers),
                wanted=float_statistics.wanted(name),
                stream=streams.own,
                scratch=streams.scratch,
                workers=workers,
                float_reference=None if streams.exact is None else FloatReference(block, streams.exact),
                extra_widths=extra_widths,
            )
            if block.shape.merge is not None:
                quantizer.merge(before.own, before.exact, float_statistics.means[last])
            result.blocks.append(quantizer.run())
            last = f"{name}.add2"
            for each in maps:
                if each.layer == index:
                    mean = float_statistics.means[f"maps.{index}"]
                    result.maps.append(quantize_map(model, each, streams.own, mean, config, workers))
        progress("blocks", depth, depth)
        if model.attention_pool is not None:
            result.pooling = quantize_pool(
                model, streams, folder, grids, float_statistics.wanted("pool"), config, workers
            )
        quantize_head(model, result, streams.own, float_statistics.features, config, workers)
        return result, len(pixels) - config.guard_photos


def observe(
    model: CanonicalViT,
    pixels: DiskArray,
    config: QuantConfig,
    workers: Workers,
    layers: Collection[int] = (),
) -> FloatStatistics:
    """Run the float model over all photos, and collect ranges, means, features, and means of the maps of ``layers``."""
    weights = [token_importance(model, index, config, layers) for index in range(len(model.blocks))]

    tokens: dict[str, int] = {}

    def run(index: int) -> tuple[dict[str, Ranges], dict[str, Tensor], Tensor]:
        x = model.embed(pixels[index])
        seen, sums = {"tokens": Ranges.of(x)}, {}

        def note(name: str, x: Tensor, weight: Tensor) -> None:
            seen[name], sums[name], tokens[name] = Ranges.of(x), weighted_sum(x, weight), len(weight)

        for number, (block, weight) in enumerate(zip(model.blocks, weights, strict=True)):
            assert isinstance(block, Block)
            name = f"blocks.{number}"
            if block.merge is not None:
                x = block.merge(x)
                note(f"{name}.merge", x, weight)
            x = x + block.attention(block.norm1(x))
            note(f"{name}.add1", x, weight)
            x = x + block.mlp(block.norm2(x))
            note(f"{name}.add2", x, weight)
            if number in layers:
                patches = model.norm(x[:, model.config.prefix_tokens :])
                even, at = torch.ones(patches.shape[1]), f"maps.{number}"
                sums[at], tokens[at] = weighted_sum(patches, even), len(even)
        if model.attention_pool is None:
            return seen, sums, model.pool(x)
        pooled = model.attention_pool.attention(model.norm(x))
        note("pool.add1", pooled, torch.ones(1))
        pooled = model.attention_pool.mlp_half(pooled)
        note("pool.add2", pooled, torch.ones(1))
        return seen, sums, pooled[:, 0]

    parts = workers.map(run, pixels.batches)
    ranges = {name: Ranges.merge([part[0][name] for part in parts]) for name in parts[0][0]}
    means = {
        name: torch.stack([part[1][name] for part in parts]).sum(0) / (len(pixels) * count)
        for name, count in tokens.items()
    }
    return FloatStatistics(ranges, means, torch.cat([part[2] for part in parts]))


def token_importance(
    model: CanonicalViT, index: int, config: QuantConfig, layers: Collection[int] = ()
) -> Tensor:
    """Return the weight of each token in the statistics of block ``index``, float32 [N]; the weights add up to N.

    The head of many models reads only the class token, which is one of hundreds. It therefore gets the share
    ``class_share``. In the last block nothing else reaches the head, so it gets ``last_share`` there; the other
    tokens keep a small weight, which makes the statistics more stable. If the last block is one of ``layers``, its
    patch tokens are put out as a feature map, and the class token gets ``class_share`` there too.
    """
    tokens = model.config.blocks[index].tokens
    weights = torch.ones(tokens)
    read = {"token": 1, "token_avg": 1, "token_dist": 2}.get(model.config.pool, 0)
    if read and tokens > read:
        alone = index == len(model.blocks) - 1 and model.config.pool != "token_avg" and index not in layers
        share = config.last_share if alone else config.class_share
        weights[:read] = tokens * share / read
        weights[read:] = tokens * (1 - share) / (tokens - read)
    return weights


def residual_grids(ranges: FloatStatistics, config: QuantConfig) -> dict[str, Grid]:
    """Choose the grids of the residual stream, by name: at 16 bits one for all; at 8 bits one per name and channel."""
    if config.residual_bits == 16:
        magnitude = torch.tensor(ranges.magnitude * RESIDUAL_HEADROOM)
        return dict.fromkeys(ranges.after, Grid(log2_scale_for(magnitude, 16, config.scales), 16))
    grids = {}
    for name, seen in ranges.after.items():
        scales = range_grid(seen.magnitude, config.scales).log2_scale
        # The paper's PTF: exponents up to 3 below the tensor's. This also limits the width after alignment.
        grids[name] = Grid(torch.maximum(scales, scales.max() - 3), 8)
    return grids


def residual_add_grids(before: Grid, add1: Grid, add2: Grid) -> dict[str, Grid]:
    """Return the grids of a block's two adds and branches. A branch has the smaller exponent of its two streams."""
    sites = {"add1": add1, "add2": add2}
    for half, (earlier, later) in enumerate(pairwise((before, add1, add2)), start=1):
        sites[f"branch{half}"] = Grid(torch.minimum(earlier.log2_scale, later.log2_scale), 16)
    return sites


def quantized_block(
    model: CanonicalViT, block: Block, grids: dict[str, Grid], before: str, name: str, config: QuantConfig
) -> QuantizedBlock:
    """Return a block that has the grids of its residual stream and nothing else yet.

    Args:
        model: The float model.
        block: The float block.
        grids: Name → grid of the residual stream there.
        before: Name of the residual stream that the attention half reads.
        name: Name of the block, such as ``blocks.3``.
        config: The method.
    """
    folded = fold_block(block)
    window_attention = None
    if block.shape.windows is not None and folded.score_bias is not None:
        window_attention = WindowAttention(block.shape.windows, folded.score_bias, folded.fills)
    result = QuantizedBlock(
        block.shape,
        model.config.norm_eps,
        model.config.activation,
        folded.score_exponent,
        config.first_softmax,
        residual_add_grids(grids[before], grids[f"{name}.add1"], grids[f"{name}.add2"]),
        window_attention=window_attention,
    )
    if block.shape.merge is not None:
        result.grids["merged"] = grids[before]
    return result


def quantize_embedding(
    model: CanonicalViT, pixels: DiskArray, stream: Grid, config: QuantConfig, workers: Workers
) -> QuantizedEnds:
    """Quantize the patch embedding, the prefix tokens and the position embedding."""
    source = fold_pixels(model)
    grid = Grid(torch.zeros((), dtype=torch.float64))
    patch = model.config.patch_size
    even = torch.ones(model.config.tokens - model.config.prefix_tokens)
    parts = workers.map(
        lambda i: InputStatistics.of(centred_patches(pixels[i], patch), grid, even), pixels.batches
    )
    layer = quantize_linear(
        source.weight,
        source.bias,
        grid,
        InputStatistics.merge(parts),
        LinearOptions(config.head_bits, config),
        workers,
    )
    prefix, tokens, position = model.config.prefix_tokens, None, None
    if model.prefix is not None and model.position is not None:
        tokens = stream.fake(model.prefix + model.position[:prefix])
        position = stream.fake(model.position[prefix:])
    vectors = model.config.pooled_dim // len(model.norm.weight)
    norm = Affine(model.norm.weight.repeat(vectors), model.norm.bias.repeat(vectors))
    if model.attention_pool is not None:
        norm = Affine(
            torch.ones_like(norm.weight), torch.zeros_like(norm.bias)
        )  # The pooling head contains the last LayerNorm.
    before = None if model.pre_norm is None else Affine(model.pre_norm.weight, model.pre_norm.bias)
    return QuantizedEnds(
        patch_embed=layer,
        patch_grid=Grid(stream.log2_scale, 16),
        stream=stream,
        prefix=tokens,
        position=position,
        pre_norm=before,
        norm=norm,
    )


def quantize_head(
    model: CanonicalViT,
    result: QuantizedViT,
    stream: DiskArray,
    features: Tensor,
    config: QuantConfig,
    workers: Workers,
) -> None:
    """Choose the grid of the feature, and quantize the head.

    All logits share one exponent, so that they can be compared as integers.

    Args:
        model: The float model.
        result: The quantized model; its feature grid, head and last bias are set.
        stream: Residual stream of the quantized model after the last block.
        features: Pooled vectors of the float model, float32 [photos, C].
        config: The method.
        workers: Threads that share the work.
    """
    pooled = torch.cat(workers.map(lambda i: result.pool(stream[i]), stream.batches))
    if config.bias_correction:
        error = (features - pooled).double().mean(dim=0).float()
        result.ends.norm = Affine(result.ends.norm.weight, result.ends.norm.bias + error)
        pooled = pooled + error
    result.ends.feature = range_grid(Ranges.of(pooled).magnitude * FEATURE_HEADROOM, config.scales)
    inputs = result.ends.feature
    if model.projection is not None:
        result.ends.embedding = quantize_image_embedding(model, pooled, inputs, config, workers)
        pooled, inputs = result.ends.head_input(pooled), result.ends.embedding.grid
    if model.head is None:
        return
    head = model.head
    plain = QuantConfig(
        scales=config.scales, criterion="range", weight_channels=False, weight_rounding="nearest"
    )
    seen = InputStatistics.of(pooled.unsqueeze(1), inputs, torch.ones(1))
    result.ends.head = quantize_linear(
        head.weight, head.bias, inputs, seen, LinearOptions(config.head_bits, plain), workers
    )


def simulate(
    model: QuantizedViT, pixels: NDArray[np.uint8], threads: int | None = None
) -> tuple[Tensor, Tensor]:
    """Run a simulated model over photos uint8 [B, H, W, 3].

    Returns:
        Logits, float32 [B, classes], and features, float32 [B, C].
    """
    with Workers(threads) as workers:
        batches = torch.from_numpy(pixels).split(4)
        parts = workers.map(model.logits, list(batches))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
