"""Experiments with the paper's pipelining ablation: which interpretations are possible and which are not.

Only fragments of the table are available. The column heads are missing, the model is not named, and the numbers
contradict each other. These functions show where.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2vit.accel.chunks.costs import MAC, cost_of
from p2vit.accel.compare import PAPER_ABLATION
from p2vit.accel.machine.description import Machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.operations import Workload
from p2vit.models.config import ViTConfig


@dataclass(frozen=True)
class WidthRow:
    """Cost of switching pipelining off, at one model width.

    Attributes:
        dim: Channels of the model; head dim 64, MLP four times as wide, 12 blocks, 197 tokens.
        neither: Normalised latency with both switches off.
        inter_only: Normalised latency with inter-layer pipelining only: re-quantization is exposed.
        intra_only: Normalised latency with intra-layer pipelining only: operations do not overlap.
    """

    dim: int
    neither: float
    inter_only: float
    intra_only: float


def ablation_by_width(machine: Machine, dims: Sequence[int]) -> list[WidthRow]:
    """Compute the overall row of the ablation for models of several widths.

    Outputs per MAC fall as 1/width, and so does the work that pipelining hides. So no single machine gives the same
    figures for DeiT-T, S and B.

    Args:
        machine: Machine that runs the models.
        dims: Model widths, multiples of 64.

    Returns:
        One row per width.
    """
    rows = []
    for dim in dims:
        workload = workload_of_config(ViTConfig(f"vit{dim}", embed_dim=dim, heads=dim // 64, mlp_dim=4 * dim))
        times = {}
        for inter, intra in PAPER_ABLATION:
            timing = map_workload(
                machine.with_pipelining(inter_layer=inter, intra_layer=intra), workload
            ).timing
            if timing is None:
                raise ValueError(f"a ViT of {dim} channels does not fit {machine.name}")
            times[(inter, intra)] = timing.cycles
        both = times[(True, True)]
        rows.append(
            WidthRow(
                dim, times[(False, False)] / both, times[(True, False)] / both, times[(False, True)] / both
            )
        )
    return rows


def possible_overall(setting: tuple[bool, bool]) -> tuple[float, float]:
    """Bound the paper's overall figure, if it is a weighted mean of its attention and MLP figures.

    Args:
        setting: (inter-layer, intra-layer).

    Returns:
        Lowest and highest possible figure.
    """
    attention, mlp, _ = PAPER_ABLATION[setting]
    return min(attention, mlp), max(attention, mlp)


@dataclass(frozen=True)
class Exposure:
    """Cycles that each kind of pipelining could hide in a part of the network, divided by its MAC cycles.

    Attributes:
        part: ``attention`` or ``mlp``.
        norm_and_add: Cycles of LayerNorm, GELU and residual adds.
        softmax_and_values: Cycles of softmax and attention × V.
        requantization: Cycles that the MAC array waits for re-quantization.
    """

    part: str
    norm_and_add: float
    softmax_and_values: float
    requantization: float


def exposures(machine: Machine, workload: Workload) -> list[Exposure]:
    """Compute the cycles outside the MACs of attention and of the MLP, by kind, relative to the MAC cycles.

    Sums of these figures are the normalised latencies for any assignment of the kinds to the paper's two switches.

    Args:
        machine: Machine that runs the model.
        workload: Plain ViT.

    Returns:
        One row for attention, one for the MLP.
    """
    exposed = machine.with_pipelining(inter_layer=False, intra_layer=False)
    rows = []
    for part in ("attention", "mlp"):
        macs = side = core = requant = 0.0
        for op in workload.operations:
            if op.part == part:
                cost = cost_of(exposed, op)
                requant += cost.exposed_requant_cycles
                if cost.chunk == MAC:
                    macs += cost.busy_cycles
                elif op.kind in ("softmax", "attention_values"):
                    core += cost.busy_cycles
                else:
                    side += cost.busy_cycles
        rows.append(Exposure(part, side / macs, core / macs, requant / macs))
    return rows
