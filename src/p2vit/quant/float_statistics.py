"""Statistics of the float model over the calibration photos, and how much each token counts in them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from p2vit.models.canonical import Block, CanonicalViT
from p2vit.quant.activation_grids import Ranges
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import DiskArray
from p2vit.quant.float_ranges import widened
from p2vit.quant.workers import Workers


@dataclass
class FloatStatistics:
    """Ranges, means and features of the float model over the calibration photos.

    The names are ``tokens``, ``blocks.N.merge`` (if patches are merged), ``blocks.N.add1``, ``blocks.N.add2``, and
    with an attention pooling head ``pool.add1`` and ``pool.add2``.

    Attributes:
        after: Name → ranges of the residual stream there; ``blocks.N.branch1`` and ``branch2`` are what is added.
        means: Name → mean over photos and tokens, weighted by :func:`token_importance`, float64 [C]. ``maps.N`` is the
            mean over photos and patches of the feature map of block N.
        features: Pooled vectors of the photos, float32 [photos, C].
        feature: Ranges of the pooled vectors, also over synthetic photos.
    """

    after: dict[str, Ranges]
    means: dict[str, Tensor]
    features: Tensor
    feature: Ranges

    def widen(self, further: Mapping[str, Ranges]) -> None:
        """Make the ranges cover those of :func:`p2vit.quant.float_ranges.float_ranges` too."""
        self.after = {name: widened(seen, further, name) for name, seen in self.after.items()}
        self.feature = widened(self.feature, further, "feature")

    def wanted(self, name: str) -> Tensor:
        """Return the means after the two adds of a block, float64 [2, C]."""
        return torch.stack([self.means[f"{name}.add1"], self.means[f"{name}.add2"]])

    @property
    def magnitude(self) -> float:
        """Largest absolute value of the residual stream."""
        return max(float(seen.magnitude.max()) for seen in self.after.values())


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
        patches = model.patch_embed(model.patches(pixels[index]))
        x = model.embed(pixels[index])
        seen, sums = {"tokens": Ranges.merge([Ranges.of(x), Ranges.of(patches)])}, {}
        if model.pre_norm is not None and model.position is not None:
            before = patches + model.position[model.config.prefix_tokens :]
            seen["tokens"] = Ranges.merge([seen["tokens"], Ranges.of(before)])

        def note(name: str, x: Tensor, weight: Tensor) -> None:
            seen[name], sums[name], tokens[name] = Ranges.of(x), weighted_sum(x, weight), len(weight)

        for number, (block, weight) in enumerate(zip(model.blocks, weights, strict=True)):
            assert isinstance(block, Block)
            name = f"blocks.{number}"
            if block.merge is not None:
                x = block.merge(x)
                note(f"{name}.merge", x, weight)
            attention = block.attention(block.norm1(x))
            seen[f"{name}.branch1"] = Ranges.of(attention)
            x = x + attention
            note(f"{name}.add1", x, weight)
            mlp = block.mlp(block.norm2(x))
            seen[f"{name}.branch2"] = Ranges.of(mlp)
            x = x + mlp
            note(f"{name}.add2", x, weight)
            if number in layers:
                patches = model.norm(x[:, model.config.prefix_tokens :])
                even, at = torch.ones(patches.shape[1]), f"maps.{number}"
                sums[at], tokens[at] = weighted_sum(patches, even), len(even)
        if model.attention_pool is None:
            return seen, sums, model.pool(x)
        pooled = model.attention_pool.attention(model.norm(x))
        note("pool.add1", pooled, torch.ones(1))
        added = model.attention_pool.mlp(model.attention_pool.norm2(pooled))
        seen["pool.branch2"] = Ranges.of(added)
        pooled = pooled + added
        note("pool.add2", pooled, torch.ones(1))
        return seen, sums, pooled[:, 0]

    parts = workers.map(run, pixels.batches)
    ranges = {name: Ranges.merge([part[0][name] for part in parts]) for name in parts[0][0]}
    means = {
        name: torch.stack([part[1][name] for part in parts]).sum(0) / (len(pixels) * count)
        for name, count in tokens.items()
    }
    features = torch.cat([part[2] for part in parts])
    return FloatStatistics(ranges, means, features, Ranges.of(features))


def read_tokens(model: CanonicalViT, index: int, layers: Collection[int]) -> int | None:
    """Return how many tokens, the first ones, are read after block ``index``; None if all of them are.

    Args:
        model: The float model.
        index: Number of the block.
        layers: Blocks whose patch tokens are put out as a feature map.
    """
    if index < len(model.blocks) - 1 or index in layers:
        return None
    return {"token": 1, "token_dist": 2}.get(model.config.pool)


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
        alone = read_tokens(model, index, layers) is not None
        share = config.last_share if alone else config.class_share
        weights[:read] = tokens * share / read
        weights[read:] = tokens * (1 - share) / (tokens - read)
    return weights


def weighted_sum(x: Tensor, importance: Tensor) -> Tensor:
    """Add up photos and weighted tokens: float32 [B, N, C] → float64 [C]."""
    return (x * importance.unsqueeze(-1)).double().sum(dim=(0, 1))
