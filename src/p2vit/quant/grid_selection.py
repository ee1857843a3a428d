"""Grid selection (adaptive power-of-two rounding): choose the candidate grid with the least error.

The configuration's criterion says which error counts: that of the half block's output, or that of the tensor itself
(the paper's).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import activate
from p2vit.quant.activation_grids import (
    CLIP_MARGIN,
    Ranges,
    choose,
    flat_below,
    gelu_grids,
    norm_candidates,
    tensor_candidates,
)
from p2vit.quant.attention import attend
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import Affine, normalise
from p2vit.quant.grid import Grid
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.workers import Workers

#: Computes the output of half a block for an input: with candidate grids, or with None without rounding activations.
HalfBlock = Callable[[dict[str, Grid] | None, Tensor], Tensor]


@dataclass(frozen=True)
class GridSelection:
    """Computes the error of candidate grids.

    Attributes:
        config: The method.
        importance: float32 [N], weight of each token.
        workers: Threads that share the work.
    """

    config: QuantConfig
    importance: Tensor
    workers: Workers

    @property
    def enabled(self) -> bool:
        """Whether candidates are compared; otherwise the ranges alone decide."""
        return self.config.scales == "pot" and self.config.criterion != "range"

    def error(self, output: HalfBlock, probe: Tensor) -> Callable[[dict[str, Grid]], float]:
        """Return a function that computes the error of candidate grids.

        The error is the squared distance of the half block's output from its output without activation rounding. With
        bias correction, the mean error of each channel does not count, because the bias will remove it.

        Args:
            output: Computes the output of the half block.
            probe: Input of the half block, float32 [B, N, C].
        """
        probes = list(probe.split(1))
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


def select_merge_grids(
    selection: GridSelection, reduction: Affine, block: QuantizedBlock, probe: Tensor
) -> None:
    """Choose the grid ``merge``: the input of patch merging's linear layer.

    Args:
        selection: Computes the errors.
        reduction: The linear layer of patch merging.
        block: Block whose grids come from ranges; the chosen grid replaces its own.
        probe: Normalised input, float32 [B, N, 4·C].
    """
    candidates = norm_candidates(block.grids["merge"], probe)
    if selection.config.criterion == "tensor":
        block.grids["merge"] = candidates[-1]
        return

    def output(trial: dict[str, Grid] | None, x: Tensor) -> Tensor:
        return F.linear(x if trial is None else trial["merge"].fake(x), reduction.weight)

    error = selection.error(output, probe)
    block.grids.update(choose([{"merge": grid} for grid in candidates], error))


def select_attention_grids(
    selection: GridSelection, layers: dict[str, Affine], block: QuantizedBlock, probe: Tensor
) -> None:
    """Choose the grids ``norm1``, ``q``, ``k`` and ``v``.

    Args:
        selection: Computes the errors.
        layers: ``q``, ``k``, ``v`` and ``proj`` of the float model.
        block: Block whose grids come from ranges; the chosen grids replace its own.
        probe: Normalised residual stream, float32 [B, N, C].
    """
    grids, config = block.grids, selection.config
    exact = {n: F.linear(probe, layers[n].weight, layers[n].bias) for n in "qkv"}
    exact |= {n: block.turned(exact[n]) for n in "qk"}
    candidates = {
        "norm1": norm_candidates(grids["norm1"], probe),
        "v": tensor_candidates(grids["v"], exact["v"]),
    }
    if config.criterion == "tensor":
        for name in ("norm1", "v"):
            grids[name] = candidates[name][-1]
        if config.separate_qkv and not config.channel_exponents:
            for name in "qk":
                grids[name] = tensor_candidates(grids[name], exact[name])[-1]
        return

    def output(trial: dict[str, Grid] | None, x: Tensor) -> Tensor:
        hidden = x if trial is None else trial["norm1"].fake(x)
        out = {n: F.linear(hidden, layers[n].weight, layers[n].bias) for n in "qkv"}
        out |= {n: block.turned(out[n]) for n in "qk"}
        if trial is not None:
            out = {n: trial[n].fake(out[n]) for n in "qkv"}
        form = None if trial is None else config.first_softmax
        if block.window_attention is not None:
            out = {n: block.window_attention.gather(out[n], block.window_attention.fills[n]) for n in "qkv"}
        mixed = attend(
            out["q"], out["k"], out["v"], block.heads, block.score_exponent, form, block.window_attention
        )
        if block.window_attention is not None:
            mixed = block.window_attention.scatter(mixed)
        return F.linear(mixed, layers["proj"].weight)

    error = selection.error(output, probe)
    for name in ("norm1", "v"):
        grids.update(choose([{**grids, name: grid} for grid in candidates[name]], error, CLIP_MARGIN))


def select_mlp_grids(
    selection: GridSelection, layers: dict[str, Affine], block: QuantizedBlock, probe: Tensor, hidden: Ranges
) -> None:
    """Choose the grids ``norm2``, ``fc1`` (the activation's input) and ``gelu`` (its output).

    Args:
        selection: Computes the errors.
        layers: ``fc1`` and ``fc2`` of the float model, and ``up`` if the MLP is gated.
        block: Block whose grids come from ranges; the chosen grids replace its own.
        probe: Normalised residual stream, float32 [B, N, C].
        hidden: Ranges of the output of ``fc1``.
    """
    grids, config = block.grids, selection.config
    norms = norm_candidates(grids["norm2"], probe)
    lowest = flat_below(block.activation)
    pairs = [gelu_grids(hidden, block.activation, low, config, block.table_groups) for low in lowest]
    if config.criterion == "tensor":
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
        if trial is not None:
            after = trial["gelu"].fake(after)
        if block.shape.gated_mlp:
            up = F.linear(
                x if trial is None else trial["norm2"].fake(x), layers["up"].weight, layers["up"].bias
            )
            after = after * (up if trial is None else trial["up"].fake(up))
        if block.shape.mlp_norm:
            after = normalise(after, block.epsilon)
        if block.hidden_grid != "gelu" and trial is not None:
            after = trial[block.hidden_grid].fake(after)
        return F.linear(after, layers["fc2"].weight)

    error = selection.error(output, probe)
    grids.update(choose([{**grids, "norm2": grid} for grid in norms], error, CLIP_MARGIN))
    options = [{"fc1": inputs, "gelu": outputs} for inputs, outputs in pairs]
    grids.update(choose([{**grids, **option} for option in options], error))
