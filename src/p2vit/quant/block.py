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
from p2vit.quant.simulated import QuantizedBlock, attend
from p2vit.quant.sites import (
    CLIP_MARGIN,
    FLAT_BELOW,
    Ranges,
    choose,
    gelu_grids,
    norm_grid,
    query_key_grids,
    tensor_candidates,
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
        if config.scales == "pot" and config.criterion != "range":
            probe = torch.cat([normal(i) for i in list(self.stream.batches)[:PROBE_BATCHES]])
            candidates = tensor_candidates(block.grids["merge"], probe)

            def output(trial: dict[str, Grid] | None, x: Tensor) -> Tensor:
                return F.linear(x if trial is None else trial["merge"].fake(x), source.weight)

            if config.criterion == "tensor":
                block.grids["merge"] = candidates[-1]
            else:
                error = self.output_error(output, list(probe.split(1)))
                block.grids.update(choose([{"merge": grid} for grid in candidates], error))
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
        if config.scales == "pot" and config.criterion != "range":
            self.settle_attention()
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
            probe = torch.cat([self.scratch[i] for i in list(self.stream.batches)[:PROBE_BATCHES]])
            grid = tensor_candidates(grid, probe)[-1]
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

    def settle_attention(self) -> None:
        """Adaptive power-of-two rounding of ``norm1``, ``q``, ``k`` and ``v``: by the half block's output, or by the
        tensor's own error (the paper's criterion).
        """
        layers, block, grids = self.folded.layers, self.block, self.block.grids
        normals = [self.normal(i) for i in list(self.stream.batches)[:PROBE_BATCHES]]
        probe = torch.cat(normals)
        exact = {n: F.linear(probe, layers[n].weight, layers[n].bias) for n in "qkv"}
        candidates = {
            "norm1": tensor_candidates(grids["norm1"], probe),
            "v": tensor_candidates(grids["v"], exact["v"]),
        }
        if self.config.criterion == "tensor":
            for name in ("norm1", "v"):
                grids[name] = candidates[name][-1]
            if self.config.separate_qkv and not self.config.channel_exponents:
                for name in "qk":
                    grids[name] = tensor_candidates(grids[name], exact[name])[-1]
            return

        def output(trial: dict[str, Grid] | None, x: Tensor) -> Tensor:
            hidden = x if trial is None else trial["norm1"].fake(x)
            out = {n: F.linear(hidden, layers[n].weight, layers[n].bias) for n in "qkv"}
            if trial is not None:
                out = {n: trial[n].fake(out[n]) for n in "qkv"}
            form = None if trial is None else self.config.softmax
            if block.inside is not None:
                out = {n: block.inside.gather(out[n], block.inside.fills[n]) for n in "qkv"}
            mixed = attend(
                out["q"], out["k"], out["v"], block.heads, block.score_exponent, form, block.inside
            )
            if block.inside is not None:
                mixed = block.inside.scatter(mixed)
            return F.linear(mixed, layers["proj"].weight)

        error = self.output_error(output, list(probe.split(1)))
        for name in ("norm1", "v"):
            grids.update(choose([{**grids, name: grid} for grid in candidates[name]], error, CLIP_MARGIN))

    def output_error(
        self, output: Callable[[dict[str, Grid] | None, Tensor], Tensor], probes: list[Tensor]
    ) -> Callable[[dict[str, Grid]], float]:
        """Error of a trial: squared distance of the half block's output from the one without activation rounding.

        The mean error of each channel is left out: bias correction takes it away.
        """
        targets = self.workers.map(lambda x: output(None, x), probes)
        weight = self.importance.unsqueeze(-1).double()
        total = len(probes) * float(self.importance.sum())

        def error(trial: dict[str, Grid]) -> float:
            def moments(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
                distance = (output(trial, pair[0]) - pair[1]).double()
                return (distance * weight).sum(dim=(0, 1)), (distance**2 * weight).sum(dim=(0, 1))

            parts = self.workers.map(moments, list(zip(probes, targets, strict=True)))
            first, second = (torch.stack(list(column)).sum(dim=0) for column in zip(*parts, strict=True))
            return float((second - first**2 / total).sum() if self.config.bias_correction else second.sum())

        return error

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
        if config.scales == "pot" and config.criterion != "range":
            self.settle_mlp(hidden)
        statistics = self.statistics(self.normal, block.grids["norm2"], self.exact_normal())
        self.layer("mlp.fc1", block.grids["norm2"], statistics)
        missing = self.advance_twin(lambda twin, x: twin.mlp(twin.norm2(x)))
        statistics = self.statistics(lambda i: block.hidden(self.stream[i]), block.grids["gelu"], missing)
        self.layer("mlp.fc2", block.grids["gelu"], statistics, self.wanted_branch(1))

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

    def settle_mlp(self, hidden: Ranges) -> None:
        """Adaptive power-of-two rounding of ``norm2``, the activation's input and its output."""
        layers, block, grids = self.folded.layers, self.block, self.block.grids
        probe = torch.cat([self.normal(i) for i in list(self.stream.batches)[:PROBE_BATCHES]])
        norms = tensor_candidates(grids["norm2"], probe)
        pairs = [
            gelu_grids(hidden, block.activation, low, self.config, block.table_groups) for low in FLAT_BELOW
        ]
        if self.config.criterion == "tensor":
            exact = F.linear(probe, layers["fc1"].weight, layers["fc1"].bias)
            grids["norm2"] = norms[-1]
            grids["fc1"] = tensor_candidates(grids["fc1"], exact)[-1]
            grids["gelu"] = tensor_candidates(grids["gelu"], activate(exact, block.activation))[-1]
            return

        def output(trial: dict[str, Grid] | None, x: Tensor) -> Tensor:
            before = F.linear(
                x if trial is None else trial["norm2"].fake(x), layers["fc1"].weight, layers["fc1"].bias
            )
            after = activate(before if trial is None else trial["fc1"].fake(before), block.activation)
            return F.linear(after if trial is None else trial["gelu"].fake(after), layers["fc2"].weight)

        error = self.output_error(output, list(probe.split(1)))
        grids.update(choose([{**grids, "norm2": grid} for grid in norms], error, CLIP_MARGIN))
        options = [{"fc1": inputs, "gelu": outputs} for inputs, outputs in pairs]
        grids.update(choose([{**grids, **option} for option in options], error))


def weighted_sum(x: Tensor, importance: Tensor) -> Tensor:
    """Sum over photos and tokens, tokens weighted: float32 [B, N, C] → float64 [C]."""
    return (x * importance.unsqueeze(-1)).double().sum(dim=(0, 1))
