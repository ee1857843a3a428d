"""Quantization of a whole model: embedding, blocks in order, and head."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import Block, CanonicalViT
from p2vit.program.maps import FeatureMap
from p2vit.quant.attention import WindowAttention
from p2vit.quant.block import BlockQuantizer
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import ArrayFolder, DiskArray, ResidualStreams
from p2vit.quant.float_ranges import float_ranges
from p2vit.quant.float_reference import ExtraWidths, FloatReference
from p2vit.quant.float_statistics import FloatStatistics, observe, read_tokens, token_importance
from p2vit.quant.fold import Affine, fold_block, fold_pixels
from p2vit.quant.grid import Grid, log2_scale_for, range_grid
from p2vit.quant.head import quantize_head
from p2vit.quant.maps import quantize_map
from p2vit.quant.names import check_widths
from p2vit.quant.pooling import quantize_pool
from p2vit.quant.simulated import QuantizedBlock, QuantizedEnds, QuantizedViT, centred_patches
from p2vit.quant.synthetic_photos import synthetic_photos
from p2vit.quant.weights import InputStatistics, LinearOptions, quantize_linear
from p2vit.quant.workers import Workers

#: Factor on the largest value observed, so that other photos do not saturate the residual stream.
RESIDUAL_HEADROOM = 1.25
#: Largest difference between exponents of the 16-bit residual stream: two such operands are aligned to 23 bits.
ALIGNED_BITS = 7

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


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
        guards = synthetic_photos(model.config.image_size, config.guards)
        pixels = folder.pixels(chain(photos, guards), (*model.config.image_size, 3))
        progress("calibrate", 0, 1)
        streams = ResidualStreams.new(folder, "stage0", len(pixels), model.config.blocks[0], config)
        float_statistics = observe(model, pixels, config, workers, layers)
        further = float_ranges(
            model,
            synthetic_photos(model.config.image_size, config.range_photos),
            workers,
            read=read_tokens(model, len(model.blocks) - 1, layers),
        )
        float_statistics.widen(further)
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
                float_ranges=further,
                read=read_tokens(model, index, layers),
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
                model, streams, folder, grids, float_statistics.wanted("pool"), config, workers, further
            )
        quantize_head(model, result, streams.own, float_statistics, config, workers)
        return result, len(pixels) - config.guards


def residual_grids(ranges: FloatStatistics, config: QuantConfig) -> dict[str, Grid]:
    """Choose the grids of the residual stream and of the branches, by name.

    At 16 bits there is one exponent per name, at 8 bits one per name and channel. The stream of a deep block is often
    tens of times larger than that of the first block, which one exponent for all would leave few bits.
    """
    if config.residual_bits == 16:
        wide = {
            name: log2_scale_for(seen.magnitude.max() * RESIDUAL_HEADROOM, 16, config.scales)
            for name, seen in ranges.after.items()
        }
        least = torch.stack(list(wide.values())).max() - ALIGNED_BITS
        return {name: Grid(torch.maximum(scale, least), 16) for name, scale in wide.items()}
    grids = {}
    for name, seen in ranges.after.items():
        if ".branch" in name:
            continue
        scales = range_grid(seen.magnitude, config.scales).log2_scale
        # The paper's PTF: exponents up to 3 below the tensor's. This also limits the width after alignment.
        grids[name] = Grid(torch.maximum(scales, scales.max() - 3), 8)
    return grids


def residual_add_grids(grids: Mapping[str, Grid], before: str, name: str) -> dict[str, Grid]:
    """Return the grids of a block's two adds and branches.

    A branch is as fine as the finer of the streams before and after the add, if it then fits its 16 bits. At 8 bits
    it always fits.

    Args:
        grids: Name → grid, of :func:`residual_grids`.
        before: Name of the residual stream that the attention half reads.
        name: Name of the block, such as ``blocks.3``.
    """
    sites = {"add1": grids[f"{name}.add1"], "add2": grids[f"{name}.add2"]}
    for half, (earlier, later) in enumerate(pairwise((grids[before], sites["add1"], sites["add2"])), start=1):
        finest = torch.minimum(earlier.log2_scale, later.log2_scale)
        fitting = grids.get(f"{name}.branch{half}")
        scale = finest if fitting is None else torch.maximum(finest, fitting.log2_scale)
        sites[f"branch{half}"] = Grid(scale, 16)
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
        residual_add_grids(grids, before, name),
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
