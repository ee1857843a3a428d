"""Quantizes one encoder block, layer by layer, on what the already quantized part before it puts out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import AttentionPool, Block, activate
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import Affine, FoldedBlock, normalise
from p2vit.quant.grid import Grid, range_grid
from p2vit.quant.settle import Judge, settle_attention, settle_merge, settle_mlp
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.sites import (
    Ranges,
    flat_below,
    gated_grid,
    gelu_grids,
    norm_grid,
    query_key_grids,
    tensor_candidates,
    unturned_grid,
)
from p2vit.quant.stream import Stream
from p2vit.quant.weights import InputStatistics, QuantizedLinear, quantize_linear
from p2vit.quant.workers import Workers

#: Batches of calibration photos on which a block's verdict is taken.
PROBE_BATCHES = 1
#: The paper's smoothing exponents.
ALPHA_ATTENTION, ALPHA_MLP = 0.35, 0.5


@dataclass(frozen=True)
class Menu:
    """Asks for every layer at several widths, beside the one that the model gets.

    Attributes:
        widths: Which.
        keep: Called with (name, width, layer) for each.
    """

    widths: tuple[int, ...]
    keep: Callable[[str, int, QuantizedLinear], None]


@dataclass(frozen=True)
class FloatTwin:
    """The float model's own block and residual stream, which rounding of narrow weights aims at.

    Attributes:
        block: The float block, or the pooling head, whose MLP half is a block's.
        stream: Float32 [photos, N, C], moved along with the quantized model's; updated in place.
    """

    block: Block | AttentionPool
    stream: Stream


@dataclass
class BlockQuantizer:
    """Quantizes one block and moves the stream of the quantized model through it.

    Attributes:
        name: ``blocks.3``.
        folded: Float layers with everything foldable folded.
        block: Shape, epsilon, activation, and the residual grids ``branch1``, ``add1``, ``branch2``, ``add2`` set.
        config: The method.
        importance: float32 [N], weight of each token in statistics and verdicts.
        wanted: float64 [2, C], weighted mean of the float model's stream after the block's two adds.
        stream: The quantized model's residual stream, float32 [photos, N, C]; updated in place.
        scratch: A stream of the same shape for what lies between two passes.
        workers: Who shares the work.
        twin: The float model here; None where layers only have to reproduce themselves.
        menu: Other widths that are wanted.
    """

    name: str
    folded: FoldedBlock
    block: QuantizedBlock
    config: QuantConfig
    importance: Tensor
    wanted: Tensor
    stream: Stream
    scratch: Stream
    workers: Workers
    twin: FloatTwin | None = None
    menu: Menu | None = None

    def run(self) -> QuantizedBlock:
        """Quantize both halves."""
        self.attention()
        self.mlp()
        return self.block

    def merge(self, before: Stream, exact: Stream | None, wanted: Tensor) -> None:
        """Quantize patch merging and fill this stage's streams from those of the stage before.

        Args:
            before: The quantized model's stream, float32 [photos, T, C].
            exact: The float model's; None where there is no twin.
            wanted: float64 [2·C], weighted mean of the float model's stream after merging.
        """
        block, config = self.block, self.config
        source = self.folded.layers["reduction"]

        def normal(index: int) -> Tensor:
            return normalise(block.gathered(before[index]), block.epsilon)

        seen = Ranges.merge(self.each(lambda i: Ranges.of(normal(i))))
        block.grids["merge"] = norm_grid(seen, [source], config, ALPHA_MLP)
        if self.judge.wanted:
            settle_merge(self.judge, source, block, self.probe(normal))
        target = None
        if self.twin is not None and exact is not None:
            twin, merging = self.twin, getattr(self.twin.block, "merge", None)
            assert merging is not None

            def advance(index: int) -> None:
                twin.stream[index] = merging(exact[index])

            self.each(advance)
            target = twin.stream.__getitem__
        statistics = self.statistics(normal, block.grids["merge"], target)
        self.layer("merge.reduction", block.grids["merge"], statistics, wanted)

        def move(index: int) -> None:
            self.stream[index] = block.merged(before[index])

        self.each(move)

    @property
    def judge(self) -> Judge:
        """Who takes this block's verdicts."""
        return Judge(self.config, self.importance, self.workers)

    def probe(self, value: Callable[[int], Tensor]) -> Tensor:
        """What a verdict is taken on: a tensor's first batches."""
        return torch.cat([value(i) for i in list(self.stream.batches)[:PROBE_BATCHES]])

    def each(self, work: Callable[[int], "Ranges | InputStatistics | Tensor | None"]) -> list:
        """Run a task for every batch."""
        return self.workers.map(work, self.stream.batches)

    def statistics(
        self, value: Callable[[int], Tensor], grid: Grid, source: Callable[[int], Tensor] | None
    ) -> InputStatistics:
        """Statistics of a layer's input over all batches, and against what the float model has there."""

        def of(index: int) -> InputStatistics:
            return InputStatistics.of(value(index), grid, self.importance, source and source(index))

        return InputStatistics.merge(self.workers.map(of, self.stream.batches))

    def normal(self, index: int) -> Tensor:
        """Normalised stream of a batch."""
        return normalise(self.stream[index], self.block.epsilon)

    def wanted_branch(self, half: int) -> Tensor:
        """Mean that a branch must add, for the stream's mean to come out as the float model's: float64 [C]."""
        parts = self.workers.map(lambda i: weighted_sum(self.stream[i], self.importance), self.stream.batches)
        return self.wanted[half] - torch.stack(parts).sum(0) / (
            len(self.stream) * float(self.importance.sum())
        )

    def exact_normal(self) -> Callable[[int], Tensor] | None:
        """What the float model's LayerNorm gives here, by batch."""
        twin = self.twin
        return None if twin is None else lambda i: normalise(twin.stream[i], self.block.epsilon)

    def advance_twin(self, half: Callable[[Any, Tensor], Tensor]) -> Callable[[int], Tensor] | None:
        """Move the float stream through half a block; what a branch has to add to get there from the quantized one."""
        twin = self.twin
        if twin is None:
            return None

        def advance(index: int) -> None:
            x = twin.stream[index]
            twin.stream[index] = x + half(twin.block, x)

        self.each(advance)
        return lambda i: twin.stream[i] - self.stream[i]

    def layer(
        self, path: str, inputs: Grid, seen: InputStatistics, wanted: Tensor | None = None
    ) -> QuantizedLinear:
        """Round one layer, and what the menu asks for; ``wanted`` is given for layers that feed the stream."""
        site = path.split(".")[1]
        source = self.folded.layers[site]
        full_name = f"{self.name}.{path}"
        readout = source.weight if wanted is None else torch.eye(len(source.weight))

        def rounded(bits: int) -> QuantizedLinear:
            return quantize_linear(
                source.weight, source.bias, inputs, seen, bits, self.config, self.workers, wanted, readout
            )

        own = self.config.bits_of(full_name)
        layer = rounded(own)
        self.block.layers[site] = layer
        for width in self.menu.widths if self.menu else ():
            self.menu.keep(full_name, width, layer if width == own else rounded(width))  # type: ignore[union-attr]
        return layer

    def attention(self) -> None:
        """Quantize LayerNorm 1, q, k, v, the attention output and proj."""
        block, config, layers = self.block, self.config, self.folded.layers
        edges = [layers[name] for name in "qkv"]
        seen = Ranges.merge(self.each(lambda i: Ranges.of(self.normal(i))))
        block.grids["norm1"] = norm_grid(seen, edges, config, ALPHA_ATTENTION)
        block.grids.update(self.qkv_grids())
        if self.judge.wanted:
            settle_attention(self.judge, layers, block, self.probe(self.normal))
        inputs = block.grids["norm1"]
        statistics = self.statistics(self.normal, inputs, self.exact_normal())
        for name in "qkv":
            self.layer(f"attn.{name}", inputs, statistics)

        def attend_batch(index: int) -> Ranges:
            self.scratch[index] = block.values(self.stream[index])
            return Ranges.of(self.scratch[index])

        values = Ranges.merge(self.each(attend_batch))
        block.grids["values"] = self.values_grid(values)
        missing = self.advance_twin(lambda twin, x: twin.attention(twin.norm1(x)))
        statistics = self.statistics(lambda i: self.scratch[i], block.grids["values"], missing)
        self.layer("attn.proj", block.grids["values"], statistics, self.wanted_branch(0))

        def advance(index: int) -> None:
            self.stream[index] = block.add_attention(self.stream[index], self.scratch[index])

        self.each(advance)

    def values_grid(self, seen: Ranges) -> Grid:
        """Grid of the attention output; its shift against v stays within the operator's −16..8."""
        grid = range_grid(seen.magnitude, self.config.scales, per_channel=self.config.channel_exponents)
        if self.config.scales == "pot" and self.config.criterion == "tensor":
            grid = tensor_candidates(grid, self.probe(self.scratch.__getitem__))[-1]
        v = self.block.grids["v"].log2_scale
        return Grid(torch.minimum(torch.maximum(grid.log2_scale, v - 16), v + 8), grid.bits)

    def qkv_grids(self) -> dict[str, Grid]:
        """Grids of q, k and v from the ranges of the float layers on the quantized model's stream."""
        layers, config = self.folded.layers, self.config

        def ranges(index: int) -> tuple[Ranges, ...]:
            normal = self.normal(index)
            out = [F.linear(normal, layers[n].weight, layers[n].bias) for n in "qkv"]
            turned = [self.block.turned(part) for part in out[:2]]
            return tuple(Ranges.of(part) for part in (*turned, *out))

        padding = self.block.shape.windows is not None and self.block.shape.windows.padding

        parts = self.workers.map(ranges, self.stream.batches)
        if padding:
            parts.append(tuple(Ranges.of(self.folded.fills[name]) for name in "qkqkv"))
        q, k, plain_q, plain_k, v = (Ranges.merge(list(column)) for column in zip(*parts, strict=True))
        if not config.separate_qkv:
            magnitude = torch.cat([seen.magnitude for seen in (q, k, v)])
            shared = range_grid(magnitude, config.scales, per_channel=False)
            return {"q": shared, "k": shared, "v": shared} | self.unturned(plain_q, plain_k, shared, shared)
        grid_q, grid_k = query_key_grids(q, k, self.block.heads, config)
        return {
            "q": grid_q,
            "k": grid_k,
            "v": range_grid(v.magnitude, config.scales, per_channel=config.channel_exponents),
            **self.unturned(plain_q, plain_k, grid_q, grid_k),
        }

    def unturned(self, q: Ranges, k: Ranges, grid_q: Grid, grid_k: Grid) -> dict[str, Grid]:
        """Grids of queries and keys before their rotary positions; none without."""
        if self.block.shape.rotary is None:
            return {}
        return {"q_linear": unturned_grid(q, grid_q), "k_linear": unturned_grid(k, grid_k)}

    def mlp(self) -> None:
        """Quantize LayerNorm 2, fc1, the activation's table, a gate's linear branch and product, and fc2."""
        block, config, layers = self.block, self.config, self.folded.layers
        gated = block.shape.gated_mlp

        def ranges(index: int) -> tuple[Ranges, ...]:
            normal = self.normal(index)
            hidden = F.linear(normal, layers["fc1"].weight, layers["fc1"].bias)
            if not gated:
                return Ranges.of(normal), Ranges.of(hidden)
            up = F.linear(normal, layers["up"].weight, layers["up"].bias)
            product = activate(hidden, block.activation) * up
            parts = (normal, hidden, up, product, normalise(product, block.epsilon))
            return tuple(Ranges.of(part) for part in parts)

        parts = self.workers.map(ranges, self.stream.batches)
        normal, *inner = (Ranges.merge(list(column)) for column in zip(*parts, strict=True))
        hidden, *products = self.group_hidden(*inner)
        read = [layers[name] for name in ("fc1", "up") if name in layers]
        block.grids["norm2"] = norm_grid(normal, read, config, ALPHA_MLP)
        low = flat_below(block.activation)[0]
        block.grids["fc1"], block.grids["gelu"] = gelu_grids(
            hidden, block.activation, low, config, block.table_groups
        )
        if gated:
            self.gate_grids(*products)
        if self.judge.wanted:
            self.settle_mlp(hidden)
        if gated:
            self.gate_grids(*products)  # the activation's grid may be another now
        statistics = self.statistics(self.normal, block.grids["norm2"], self.exact_normal())
        self.layer("mlp.fc1", block.grids["norm2"], statistics)
        if gated:
            self.layer("mlp.up", block.grids["norm2"], statistics)
        missing = self.advance_twin(lambda twin, x: twin.mlp(twin.norm2(x)))
        inputs = block.grids[block.hidden_grid]
        statistics = self.statistics(lambda i: block.hidden(self.stream[i]), inputs, missing)
        self.layer("mlp.fc2", inputs, statistics, self.wanted_branch(1))

        def advance(index: int) -> None:
            x = self.stream[index]
            self.stream[index] = block.add_mlp(x, block.hidden(x))

        self.each(advance)

    def gate_grids(self, up: Ranges, product: Ranges, normalised: Ranges) -> None:
        """Set the grids of a gated MLP's linear branch, its product, and the LayerNorm of it."""
        block, config = self.block, self.config
        block.grids["up"] = range_grid(up.magnitude, config.scales, per_channel=config.channel_exponents)
        block.grids["gated"] = gated_grid(
            product, block.grids["gelu"], block.grids["up"], block.shape.mlp_norm, config
        )
        if block.shape.mlp_norm:
            block.grids["mlp_norm"] = norm_grid(normalised, [self.folded.layers["fc2"]], config, ALPHA_MLP)

    def group_hidden(self, hidden: Ranges, *others: Ranges) -> list[Ranges]:
        """Order hidden channels by their range, so that neighbours can share a table; the ranges in that order.

        Permuting rows of fc1 (and of a gate's linear branch) with columns of fc2 changes nothing of what the block
        computes.
        """
        layers, width = self.folded.layers, self.config.table_channels
        if not self.config.gelu_offset or not width or len(hidden.high) % width or len(hidden.high) == width:
            return [hidden, *others]
        self.block.table_groups = len(hidden.high) // width
        order = torch.argsort(hidden.high, descending=True, stable=True)
        for name in ("fc1", "up"):
            if name in layers:
                layers[name] = Affine(layers[name].weight[order], layers[name].bias[order])
        layers["fc2"] = Affine(layers["fc2"].weight[:, order], layers["fc2"].bias)
        return [Ranges(each.low[order], each.high[order]) for each in (hidden, *others)]

    def settle_mlp(self, hidden: Ranges) -> None:
        """Adaptive power-of-two rounding of the MLP half's grids."""
        settle_mlp(self.judge, self.folded.layers, self.block, self.probe(self.normal), hidden)


def weighted_sum(x: Tensor, importance: Tensor) -> Tensor:
    """Sum over photos and tokens, tokens weighted: float32 [B, N, C] → float64 [C]."""
    return (x * importance.unsqueeze(-1)).double().sum(dim=(0, 1))
