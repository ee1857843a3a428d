"""Quantization of one encoder block, layer by layer, on the output of the quantized part before it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import activate
from p2vit.quant.activation_grids import (
    Ranges,
    flat_below,
    gated_grid,
    gelu_grids,
    norm_grid,
    query_key_grids,
    tensor_candidates,
    unturned_grid,
)
from p2vit.quant.balance import VALUES_SHIFTS, balance_input
from p2vit.quant.config import QuantConfig
from p2vit.quant.disk_array import DiskArray
from p2vit.quant.float_reference import ExtraWidths, FloatReference
from p2vit.quant.fold import Affine, FoldedBlock, normalise
from p2vit.quant.grid import Grid, range_grid
from p2vit.quant.grid_selection import (
    GridSelection,
    select_attention_grids,
    select_merge_grids,
    select_mlp_grids,
)
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.softmax_form import choose_form
from p2vit.quant.weights import InputStatistics, LinearOptions, QuantizedLinear, quantize_linear
from p2vit.quant.workers import Workers

#: Batches of calibration photos on which the candidate grids of a block are compared.
PROBE_BATCHES = 1
#: The paper's smoothing exponents.
ALPHA_ATTENTION, ALPHA_MLP = 0.35, 0.5


@dataclass
class BlockQuantizer:
    """Quantizes one block and computes the quantized model's residual stream after it.

    Attributes:
        name: Name of the block in the program, such as ``blocks.3``.
        folded: Float layers of the block, with gains, biases and 1/√d folded in.
        block: The result. Its shape and its residual grids ``branch1``, ``add1``, ``branch2``, ``add2`` are given.
        config: The method.
        importance: float32 [N], weight of each token in statistics and in the choice of grids.
        wanted: float64 [2, C], weighted mean of the float model's residual stream after the block's two adds.
        stream: The quantized model's residual stream, float32 [photos, N, C]; updated in place.
        scratch: Array of the same shape for intermediate values.
        workers: Threads that share the work.
        float_reference: The float model's block and stream. None if layers only have to reproduce their own output.
        extra_widths: Further widths at which every layer is rounded.
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
        """Quantize the attention half and the MLP half."""
        self.attention()
        self.mlp()
        return self.block

    def merge(self, before: DiskArray, exact: DiskArray | None, wanted: Tensor) -> None:
        """Quantize patch merging, and compute this stage's residual streams from those of the stage before.

        Args:
            before: The quantized model's residual stream before merging, float32 [photos, T, C].
            exact: The float model's residual stream before merging, or None without ``float_reference``.
            wanted: float64 [2·C], weighted mean of the float model's residual stream after merging.
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
        """Selection of this block's grids."""
        return GridSelection(self.config, self.importance, self.workers)

    def probe(self, value: Callable[[int], Tensor]) -> Tensor:
        """Return the first batches of a tensor; candidate grids are compared on them."""
        return torch.cat([value(i) for i in list(self.stream.batches)[:PROBE_BATCHES]])

    def each(self, work: Callable[[int], "Ranges | InputStatistics | Tensor | None"]) -> list:
        """Run a task for every batch, and return the results in order."""
        return self.workers.map(work, self.stream.batches)

    def statistics(
        self, value: Callable[[int], Tensor], grid: Grid, source: Callable[[int], Tensor] | None
    ) -> InputStatistics:
        """Compute the statistics of a layer's input over all batches.

        Args:
            value: Batch index → input of the layer, float32 [B, N, K].
            grid: Grid of the input.
            source: Batch index → values of the float model at the same place, float32 [B, N, M], or None.
        """

        def of(index: int) -> InputStatistics:
            return InputStatistics.of(value(index), grid, self.importance, source and source(index))

        return InputStatistics.merge(self.workers.map(of, self.stream.batches))

    def normal(self, index: int) -> Tensor:
        """Return the normalised residual stream of a batch, float32 [B, N, C]."""
        return normalise(self.stream[index], self.block.epsilon)

    def branch_mean(self, half: int) -> Tensor:
        """Return the mean that a branch must have so that the stream's mean equals the float model's: float64 [C]."""
        parts = self.workers.map(lambda i: weighted_sum(self.stream[i], self.importance), self.stream.batches)
        return self.wanted[half] - torch.stack(parts).sum(0) / (
            len(self.stream) * float(self.importance.sum())
        )

    def exact_normal(self) -> Callable[[int], Tensor] | None:
        """Return a function from batch index to the float model's normalised stream, or None without one."""
        float_reference = self.float_reference
        return (
            None
            if float_reference is None
            else lambda i: normalise(float_reference.stream[i], self.block.epsilon)
        )

    def advance_float_reference(
        self, half: Callable[[Any, Tensor], Tensor]
    ) -> Callable[[int], Tensor] | None:
        """Move the float model's stream through half a block.

        Returns:
            Batch index → what the branch must add to the quantized stream to reach the float stream, float32
            [B, N, C]; None without ``float_reference``.
        """
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
        """Round one layer at its own width and at the extra widths.

        Args:
            path: Name of the layer within the block, such as ``attn.q``.
            inputs: Grid of its input.
            seen: Statistics of its input.
            wanted: float64 [N], mean that the output must have. Given only for layers that write to the stream.
        """
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

    def balance(self, grid: str, paths: list[str], seen: InputStatistics) -> InputStatistics:
        """Raise the exponents of an input where that lowers the error of the layers that read it.

        Args:
            grid: Name of the input's grid, which is replaced.
            paths: Names of the layers within the block.
            seen: Statistics of the input.

        Returns:
            The statistics of the input on the new grid.
        """
        if not self.config.balance:
            return seen
        read = [
            (self.folded.layers[path.split(".")[1]].weight, self.config.bits_of(f"{self.name}.{path}"))
            for path in paths
        ]
        return balance_input(self.block, grid, read, seen)

    def attention(self) -> None:
        """Quantize LayerNorm 1, q, k, v, the attention output and proj."""
        block, config, layers = self.block, self.config, self.folded.layers
        edges = [layers[name] for name in "qkv"]
        seen = Ranges.merge(self.each(lambda i: Ranges.of(self.normal(i))))
        block.grids["norm1"] = norm_grid(seen, edges, config, ALPHA_ATTENTION)
        block.grids.update(self.qkv_grids())
        if self.selection.enabled:
            select_attention_grids(self.selection, layers, block, self.probe(self.normal))
        if config.softmax == "auto":
            block.softmax = choose_form(block, layers, self.probe(self.normal), self.importance, self.workers)
        inputs = block.grids["norm1"]
        statistics = self.statistics(self.normal, inputs, self.exact_normal())
        statistics = self.balance("norm1", [f"attn.{name}" for name in "qkv"], statistics)
        for name in "qkv":
            self.layer(f"attn.{name}", block.grids["norm1"], statistics)

        def attend_batch(index: int) -> Ranges:
            self.scratch[index] = block.values(self.stream[index])
            return Ranges.of(self.scratch[index])

        values = Ranges.merge(self.each(attend_batch))
        block.grids["values"] = self.values_grid(values)
        missing = self.advance_float_reference(lambda block, x: block.attention(block.norm1(x)))
        statistics = self.statistics(lambda i: self.scratch[i], block.grids["values"], missing)
        statistics = self.balance("values", ["attn.proj"], statistics)
        self.layer("attn.proj", block.grids["values"], statistics, self.branch_mean(0))

        def advance(index: int) -> None:
            self.stream[index] = block.add_attention(self.stream[index], self.scratch[index])

        self.each(advance)

    def values_grid(self, seen: Ranges) -> Grid:
        """Choose the grid of the attention output, within the operator's shifts relative to v."""
        grid = range_grid(seen.magnitude, self.config.scales, per_channel=self.config.channel_exponents)
        if self.config.scales == "pot" and self.config.criterion == "tensor":
            grid = tensor_candidates(grid, self.probe(self.scratch.__getitem__))[-1]
        low, high = (self.block.grids["v"].log2_scale + shift for shift in VALUES_SHIFTS)
        return Grid(torch.minimum(torch.maximum(grid.log2_scale, low), high), grid.bits)

    def qkv_grids(self) -> dict[str, Grid]:
        """Choose the grids of q, k and v from the ranges of the float layers on the quantized model's stream."""
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
        if self.selection.enabled:
            self.select_mlp_grids(hidden)
        if gated:
            self.gate_grids(*products)  # the activation's grid may be another one now
        statistics = self.statistics(self.normal, block.grids["norm2"], self.exact_normal())
        statistics = self.balance("norm2", ["mlp.fc1", *(["mlp.up"] if gated else [])], statistics)
        self.layer("mlp.fc1", block.grids["norm2"], statistics)
        if gated:
            self.layer("mlp.up", block.grids["norm2"], statistics)
        missing = self.advance_float_reference(lambda block, x: block.mlp(block.norm2(x)))
        inputs = block.grids[block.hidden_grid]
        statistics = self.statistics(lambda i: block.hidden(self.stream[i]), inputs, missing)
        if block.hidden_grid != "gated":
            statistics = self.balance(block.hidden_grid, ["mlp.fc2"], statistics)
        self.layer("mlp.fc2", block.grids[block.hidden_grid], statistics, self.branch_mean(1))

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
        """Sort the hidden channels by their maximum, so that neighbours can share an activation table.

        The rows of fc1 and of a gate's linear branch and the columns of fc2 are permuted alike, so the output of the
        block stays the same.

        Returns:
            All ranges in the new order.
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

    def select_mlp_grids(self, hidden: Ranges) -> None:
        """Choose the grids of the MLP half."""
        select_mlp_grids(self.selection, self.folded.layers, self.block, self.probe(self.normal), hidden)


def weighted_sum(x: Tensor, importance: Tensor) -> Tensor:
    """Add up photos and weighted tokens: float32 [B, N, C] → float64 [C]."""
    return (x * importance.unsqueeze(-1)).double().sum(dim=(0, 1))
