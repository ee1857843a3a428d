"""Quantization of an attention pooling head: a block with a constant query and no residual add in its first half."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import CanonicalViT
from p2vit.models.config import ViTConfig
from p2vit.quant.activation_grids import Ranges, norm_grid, query_key_grids
from p2vit.quant.block import ALPHA_ATTENTION, BlockQuantizer
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import ArrayFolder, DiskArray, ResidualStreams
from p2vit.quant.float_reference import FloatReference
from p2vit.quant.fold import fold_pool, normalise
from p2vit.quant.grid import Grid, range_grid
from p2vit.quant.simulated import QuantizedBlock, QuantizedPool
from p2vit.quant.workers import Workers


@dataclass
class PoolQuantizer(BlockQuantizer):
    """Quantizes an attention pooling head. Its residual stream is the pooled vector, float32 [photos, 1, C].

    Attributes:
        pool: The quantized pooling head.
        tokens: The quantized model's residual stream after the last block, float32 [photos, N, C].
    """

    pool: QuantizedPool | None = None
    tokens: DiskArray | None = None

    def attention(self) -> None:
        """Quantize the last LayerNorm, the query, k, v, the attention output and proj."""
        assert self.pool is not None
        assert self.tokens is not None
        pool, tokens, block, config = self.pool, self.tokens, self.block, self.config
        layers = self.folded.layers

        def normal(index: int) -> Tensor:
            return normalise(tokens[index], block.epsilon)

        def ranges(index: int) -> tuple[Ranges, ...]:
            x = normal(index)
            outputs = (F.linear(x, layers[name].weight, layers[name].bias) for name in "kv")
            return Ranges.of(x), *(Ranges.of(out) for out in outputs)

        parts = self.workers.map(ranges, tokens.batches)
        seen, k, v = (Ranges.merge(list(column)) for column in zip(*parts, strict=True))
        block.grids["norm1"] = norm_grid(seen, [layers["k"], layers["v"]], config, ALPHA_ATTENTION)
        q = Ranges.of(self.folded.fills["q"].unsqueeze(0))
        block.grids["q"], block.grids["k"] = query_key_grids(q, k, block.heads, config)
        per_channel = config.channel_exponents
        block.grids["v"] = range_grid(v.magnitude, config.scales, per_channel=per_channel)
        inputs = block.grids["norm1"]
        even = replace(self, importance=torch.ones(block.shape.tokens))
        statistics = even.statistics(normal, inputs, None)
        for name in "kv":
            self.layer(f"attn.{name}", inputs, statistics)

        def attend_batch(index: int) -> Ranges:
            self.scratch[index] = pool.values(tokens[index])
            return Ranges.of(self.scratch[index])

        values = Ranges.merge(self.each(attend_batch))
        block.grids["values"] = self.values_grid(values)
        target = None if self.float_reference is None else self.float_reference.stream.__getitem__
        statistics = self.statistics(lambda i: self.scratch[i], block.grids["values"], target)
        self.layer("attn.proj", block.grids["values"], statistics, self.wanted[0])

        def advance(index: int) -> None:
            self.stream[index] = pool.projected(self.scratch[index])

        self.each(advance)

    def select_mlp_grids(self, hidden: Ranges) -> None:
        """Choose the grids by range, because one token per photo is too little to compare candidates on."""
        if self.config.criterion == "tensor":
            super().select_mlp_grids(hidden)


def quantize_pool(
    model: CanonicalViT,
    tokens: ResidualStreams,
    folder: ArrayFolder,
    grids: dict[str, Grid],
    wanted: Tensor,
    config: QuantConfig,
    workers: Workers,
) -> QuantizedPool:
    """Quantize the pooling head of a model.

    Args:
        model: The float model.
        tokens: Residual streams after its last block.
        folder: Folder for the pooled vectors.
        grids: Name → grid of the residual stream there.
        wanted: float64 [2, C], mean of the float model's pooled vector after attention and after the MLP.
        config: The method.
        workers: Threads that share the work.
    """
    pool = model.attention_pool
    assert pool is not None
    assert isinstance(model.config, ViTConfig)
    shape = model.config.pool_shape
    folded = fold_pool(pool, model.norm)
    first, second = grids["pool.add1"], grids["pool.add2"]
    block = QuantizedBlock(
        shape, model.config.norm_eps, model.config.activation, folded.score_exponent, config.first_softmax
    )
    finest = torch.minimum(first.log2_scale, second.log2_scale)
    block.grids |= {"add1": first, "add2": second, "branch2": Grid(finest, 16)}
    result = QuantizedPool(block, folded.fills["q"])
    streams = ResidualStreams.new(folder, "pool", len(tokens.own), replace(shape, tokens=1), config)
    float_reference = None
    if streams.exact is not None and tokens.exact is not None:
        exact, before = streams.exact, tokens.exact

        def start(index: int) -> None:
            exact[index] = pool.attention(model.norm(before[index]))

        workers.map(start, exact.batches)
        float_reference = FloatReference(pool, exact)
    PoolQuantizer(
        name="pool",
        folded=folded,
        block=block,
        config=config,
        importance=torch.ones(1),
        wanted=wanted,
        stream=streams.own,
        scratch=streams.scratch,
        workers=workers,
        float_reference=float_reference,
        pool=result,
        tokens=tokens.own,
    ).run()
    return result
