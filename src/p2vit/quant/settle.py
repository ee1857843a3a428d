"""Adaptive power-of-two rounding: which of the candidate grids half a block comes out best with.

By the configuration's criterion: the error of the half block's output, or the tensor's own error (the paper's).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.canonical import activate
from p2vit.quant.attention import attend
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import Affine, normalise
from p2vit.quant.grid import Grid
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.sites import CLIP_MARGIN, Ranges, choose, flat_below, gelu_grids, tensor_candidates
from p2vit.quant.workers import Workers

#: Output of half a block on a probe: with the grids of a trial, or with None without activation rounding.
HalfBlock = Callable[[dict[str, Grid] | None, Tensor], Tensor]


@dataclass(frozen=True)
class Judge:
    """Takes a block's verdict on trials.

    Attributes:
        config: The method.
        importance: float32 [N], weight of each token.
        workers: Who shares the work.
    """

    config: QuantConfig
    importance: Tensor
    workers: Workers

    @property
    def wanted(self) -> bool:
        """Whether there is anything to settle: otherwise ranges decide."""
        return self.config.scales == "pot" and self.config.criterion != "range"

    def error(self, output: HalfBlock, probe: Tensor) -> Callable[[dict[str, Grid]], float]:
        """Error of a trial: squared distance of the half block's output from the one without activation rounding.

        The mean error of each channel is left out: bias correction takes it away.

        Args:
            output: What the half block puts out.
            probe: What it reads, float32 [B, N, C].
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


def settle_merge(judge: Judge, reduction: Affine, block: QuantizedBlock, probe: Tensor) -> None:
    """Settle ``merge``, what patch merging's linear layer reads.

    Args:
        judge: Takes the verdict.
        reduction: That layer.
        block: Its grids start from ranges and are replaced.
        probe: Normalised, float32 [B, N, 4·C].
    """
    candidates = tensor_candidates(block.grids["merge"], probe)
    if judge.config.criterion == "tensor":
        block.grids["merge"] = candidates[-1]
        return

    def output(trial: dict[str, Grid] | None, x: Tensor) -> Tensor:
        return F.linear(x if trial is None else trial["merge"].fake(x), reduction.weight)

    error = judge.error(output, probe)
    block.grids.update(choose([{"merge": grid} for grid in candidates], error))


def settle_attention(judge: Judge, layers: dict[str, Affine], block: QuantizedBlock, probe: Tensor) -> None:
    """Settle ``norm1``, ``q``, ``k`` and ``v``.

    Args:
        judge: Takes the verdict.
        layers: ``q``, ``k``, ``v`` and ``proj`` of the float model.
        block: Its grids start from ranges and are replaced.
        probe: Normalised stream, float32 [B, N, C].
    """
    grids, config = block.grids, judge.config
    exact = {n: F.linear(probe, layers[n].weight, layers[n].bias) for n in "qkv"}
    exact |= {n: block.turned(exact[n]) for n in "qk"}
    candidates = {
        "norm1": tensor_candidates(grids["norm1"], probe),
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
        form = None if trial is None else config.softmax
        if block.inside is not None:
            out = {n: block.inside.gather(out[n], block.inside.fills[n]) for n in "qkv"}
        mixed = attend(out["q"], out["k"], out["v"], block.heads, block.score_exponent, form, block.inside)
        if block.inside is not None:
            mixed = block.inside.scatter(mixed)
        return F.linear(mixed, layers["proj"].weight)

    error = judge.error(output, probe)
    for name in ("norm1", "v"):
        grids.update(choose([{**grids, name: grid} for grid in candidates[name]], error, CLIP_MARGIN))


def settle_mlp(
    judge: Judge, layers: dict[str, Affine], block: QuantizedBlock, probe: Tensor, hidden: Ranges
) -> None:
    """Settle ``norm2``, the activation's input ``fc1`` and its output ``gelu``.

    Args:
        judge: Takes the verdict.
        layers: ``fc1`` and ``fc2`` of the float model, and ``up`` where the MLP is gated.
        block: Its grids start from ranges and are replaced.
        probe: Normalised stream, float32 [B, N, C].
        hidden: Ranges of what ``fc1`` puts out.
    """
    grids, config = block.grids, judge.config
    norms = tensor_candidates(grids["norm2"], probe)
    pairs = [gelu_grids(hidden, block.activation, low, config, block.table_groups) for low in flat_below(block.activation)]
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

    error = judge.error(output, probe)
    grids.update(choose([{**grids, "norm2": grid} for grid in norms], error, CLIP_MARGIN))
    options = [{"fc1": inputs, "gelu": outputs} for inputs, outputs in pairs]
    grids.update(choose([{**grids, **option} for option in options], error))
