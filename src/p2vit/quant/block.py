"""Quantizes one encoder block, layer by layer, on what the already quantized part before it puts out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import AttentionPool, Block
from p2vit.quant.activation_grids import (
    FLAT_BELOW,
    Ranges,
    gelu_grids,
    norm_grid,
    query_key_grids,
    tensor_candidates,
)
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import DiskArray
from p2vit.quant.fold import Affine, FoldedBlock, normalise
from p2vit.quant.grid import Grid, range_grid
from p2vit.quant.grid_selection import (
    GridSelection,
    select_attention_grids,
    select_merge_grids,
    select_mlp_grids,
)
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.weights import InputStatistics, LinearOptions, QuantizedLinear, quantize_linear
from p2vit.quant.workers import Workers

#: Batches of calibration photos on which a block's verdict is taken.
PROBE_BATCHES = 1
#: The paper's smoothing exponents.
ALPHA_ATTENTION, ALPHA_MLP = 0.35, 0.5


@dataclass(frozen=True)
class ExtraWidths:
    """Asks for every layer at several widths, beside the one that the model gets.

    Attributes:
        widths: Which.
        keep: Called with (name, width, layer) for each.
    """

    widths: tuple[int, ...]
    keep: Callable[[str, int, QuantizedLinear], None]


@dataclass(frozen=True)
class FloatReference:
    """The float model's own block and residual stream, which rounding of narrow weights aims at.

    Attributes:
        block: The float block, or the pooling head, whose MLP half is a block's.
        stream: Float32 [photos, N, C], moved along with the quantized model's; updated in place.
    """

    block: Block | AttentionPool
    stream: DiskArray


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
        float_reference: The float model here; None where layers only have to reproduce themselves.
        extra_widths: Other widths that are wanted.
    """

    name: str
    folded: FoldedBlock
    block: QuantizedBlock
    config: QuantConfig
    importance: Tensor
    wanted: Tensor
    stream: DiskArray
    scratch: DiskArray
    workers: Workers
    float_reference: FloatReference | None = None
    extra_widths: ExtraWidths | None = None

    def run(self) -> QuantizedBlock:
        """Quantize both halves."""
        self.attention()
        self.mlp()
        return self.block

    def merge(self, before: DiskArray, exact: DiskArray | None, wanted: Tensor) -> None:
        """Quantize patch merging and fill this stage's streams from those of the stage before.

        Args:
            before: The quantized model's stream, float32 [photos, T, C].
            exact: The float model's; None where there is no float_reference.
            wanted: float64 [2·C], weighted mean of the float model's stream after merging.
        """
        block, config = self.block, self.config
        source = self.folded.layers["reduction"]

        def normal(index: int) -> Tensor:
            return normalise(block.gathered(before[index]), block.epsilon)

        seen = Ranges.merge(self.each(lambda i: Ranges.of(normal(i))))
        block.grids["merge"] = norm_grid(seen, [source], config, ALPHA_MLP)
        if self.selection.enabled:
            select_merge_grids(self.selection, source, block, self.probe(normal))
        target = None
        if self.float_reference is not None and exact is not None:
            float_reference, merging = (
                self.float_reference,
                getattr(self.float_reference.block, "merge", None),
            )
            assert merging is not None

            def advance(index: int) -> None:
                float_reference.stream[index] = merging(exact[index])

            self.each(advance)
            target = float_reference.stream.__getitem__
        statistics = self.statistics(normal, block.grids["merge"], target)
        self.layer("merge.reduction", block.grids["merge"], statistics, wanted)

        def move(index: int) -> None:
            self.stream[index] = block.merged(before[index])

        self.each(move)

    @property
    def selection(self) -> GridSelection:
        """Who takes this block's verdicts."""
        return GridSelection(self.config, self.importance, self.workers)

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

    def branch_mean(self, half: int) -> Tensor:
        """Mean that a branch must add, for the stream's mean to come out as the float model's: float64 [C]."""
        parts = self.workers.map(lambda i: weighted_sum(self.stream[i], self.importance), self.stream.batches)
        return self.wanted[half] - torch.stack(parts).sum(0) / (
            len(self.stream) * float(self.importance.sum())
        )

    def exact_normal(self) -> Callable[[int], Tensor] | None:
        """What the float model's LayerNorm gives here, by batch."""
        float_reference = self.float_reference
        return (
            None
            if float_reference is None
            else lambda i: normalise(float_reference.stream[i], self.block.epsilon)
        )

    def advance_float_reference(
        self, half: Callable[[Any, Tensor], Tensor]
    ) -> Callable[[int], Tensor] | None:
        """Move the float stream through half a block; what a branch has to add to get there from the quantized one."""
        float_reference = self.float_reference
        if float_reference is None:
            return None

        def advance(index: int) -> None:
            x = float_reference.stream[index]
            float_reference.stream[index] = x + half(float_reference.block, x)

        self.each(advance)
        return lambda i: float_reference.stream[i] - self.stream[i]

    def layer(
        self, path: str, inputs: Grid, seen: InputStatistics, wanted: Tensor | None = None
    ) -> QuantizedLinear:
        """Round one layer, and what the extra_widths asks for; ``wanted`` is given for layers that feed the stream."""
        site = path.split(".")[1]
        source = self.folded.layers[site]
        full_name = f"{self.name}.{path}"
        readout = source.weight if wanted is None else torch.eye(len(source.weight))

        def rounded(bits: int) -> QuantizedLinear:
            return quantize_linear(
                source.weight,
                source.bias,
                inputs,
                seen,
                LinearOptions(bits, self.config, wanted, readout),
                self.workers,
            )

        own = self.config.bits_of(full_name)
        layer = rounded(own)
        self.block.layers[site] = layer
        for width in self.extra_widths.widths if self.extra_widths else ():
            self.extra_widths.keep(full_name, width, layer if width == own else rounded(width))  # type: ignore[union-attr]
        return layer

    def attention(self) -> None:
        """Quantize LayerNorm 1, q, k, v, the attention output and proj."""
        block, config, layers = self.block, self.config, self.folded.layers
        edges = [layers[name] for name in "qkv"]
        seen = Ranges.merge(self.each(lambda i: Ranges.of(self.normal(i))))
        block.grids["norm1"] = norm_grid(seen, edges, config, ALPHA_ATTENTION)
        block.grids.update(self.qkv_grids())
        if self.selection.enabled:
            select_attention_grids(self.selection, layers, block, self.probe(self.normal))
        inputs = block.grids["norm1"]
        statistics = self.statistics(self.normal, inputs, self.exact_normal())
        for name in "qkv":
            self.layer(f"attn.{name}", inputs, statistics)

        def attend_batch(index: int) -> Ranges:
            self.scratch[index] = block.values(self.stream[index])
            return Ranges.of(self.scratch[index])

        values = Ranges.merge(self.each(attend_batch))
        block.grids["values"] = self.values_grid(values)
        missing = self.advance_float_reference(lambda block, x: block.attention(block.norm1(x)))
        statistics = self.statistics(lambda i: self.scratch[i], block.grids["values"], missing)
        self.layer("attn.proj", block.grids["values"], statistics, self.branch_mean(0))

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
            return tuple(Ranges.of(F.linear(normal, layers[n].weight, layers[n].bias)) for n in "qkv")

        padding = self.block.shape.windows is not None and self.block.shape.windows.padding

        parts = self.workers.map(ranges, self.stream.batches)
        if padding:
            parts.append(tuple(Ranges.of(self.folded.fills[name]) for name in "qkv"))
        q, k, v = (Ranges.merge(list(column)) for column in zip(*parts, strict=True))
        if not config.separate_qkv:
            magnitude = torch.cat([seen.magnitude for seen in (q, k, v)])
            shared = range_grid(magnitude, config.scales, per_channel=False)
            return {"q": shared, "k": shared, "v": shared}
        grid_q, grid_k = query_key_grids(q, k, self.block.heads, config)
        return {
            "q": grid_q,
            "k": grid_k,
            "v": range_grid(v.magnitude, config.scales, per_channel=config.channel_exponents),
        }

    def mlp(self) -> None:
        """Quantize LayerNorm 2, fc1, the activation's table and fc2."""
        block, config, layers = self.block, self.config, self.folded.layers

        def ranges(index: int) -> tuple[Ranges, Ranges]:
            normal = self.normal(index)
            return Ranges.of(normal), Ranges.of(F.linear(normal, layers["fc1"].weight, layers["fc1"].bias))

        parts = self.workers.map(ranges, self.stream.batches)
        normal, hidden = (Ranges.merge(list(column)) for column in zip(*parts, strict=True))
        hidden = self.group_hidden(hidden)
        block.grids["norm2"] = norm_grid(normal, [layers["fc1"]], config, ALPHA_MLP)
        block.grids["fc1"], block.grids["gelu"] = gelu_grids(
            hidden, block.activation, FLAT_BELOW[0], config, block.table_groups
        )
        if self.selection.enabled:
            self.select_mlp_grids(hidden)
        statistics = self.statistics(self.normal, block.grids["norm2"], self.exact_normal())
        self.layer("mlp.fc1", block.grids["norm2"], statistics)
        missing = self.advance_float_reference(lambda block, x: block.mlp(block.norm2(x)))
        statistics = self.statistics(lambda i: block.hidden(self.stream[i]), block.grids["gelu"], missing)
        self.layer("mlp.fc2", block.grids["gelu"], statistics, self.branch_mean(1))

        def advance(index: int) -> None:
            x = self.stream[index]
            self.stream[index] = block.add_mlp(x, block.hidden(x))

        self.each(advance)

    def group_hidden(self, hidden: Ranges) -> Ranges:
        """Order hidden channels by their range, so that neighbours can share a table; the ranges in that order.

        Permuting rows of fc1 with columns of fc2 changes nothing of what the block computes.
        """
        layers, width = self.folded.layers, self.config.table_channels
        if not self.config.gelu_offset or not width or len(hidden.high) % width or len(hidden.high) == width:
            return hidden
        self.block.table_groups = len(hidden.high) // width
        order = torch.argsort(hidden.high, descending=True, stable=True)
        layers["fc1"] = Affine(layers["fc1"].weight[order], layers["fc1"].bias[order])
        layers["fc2"] = Affine(layers["fc2"].weight[:, order], layers["fc2"].bias)
        return Ranges(hidden.low[order], hidden.high[order])

    def select_mlp_grids(self, hidden: Ranges) -> None:
        """Adaptive power-of-two rounding of the MLP half's grids."""
        select_mlp_grids(self.selection, self.folded.layers, self.block, self.probe(self.normal), hidden)


def weighted_sum(x: Tensor, importance: Tensor) -> Tensor:
    """Sum over photos and tokens, tokens weighted: float32 [B, N, C] → float64 [C]."""
    return (x * importance.unsqueeze(-1)).double().sum(dim=(0, 1))
