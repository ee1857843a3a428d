"""The claims of the P²-ViT paper, taken apart: what each would need, and what it can be against.

The abstract claims a speed and an energy saving over Turing Tensor Cores, and a computation utilization over other
accelerators. It names neither the GPU, nor the network, nor the batch. Nothing is filled in here: every ratio is
computed from published figures of one table, and the modelled ratio stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2vit.accel.machine.description import Machine
from p2vit.accel.peers.table import PeerRow
from p2vit.accel.published import AUTHORS, load_published
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of


@dataclass(frozen=True)
class GpuClaim:
    """What the claims over a GPU would need, against one published latency, and what a modelled machine gives.

    Attributes:
        gpu: Published GPU.
        model: Name of the architecture.
        batch: Batch of the GPU; the machine takes one image at a time.
        gpu_ms: Published latency of the batch.
        needed_ms: Latency of the batch at the claimed speed.
        needed_tops: 2 × MACs per second at that latency, in 10¹².
        needed_mj: Energy per image at the claimed saving; from the power limit of the board, so an upper bound.
        machine: Modelled machine.
        gives_speedup: Images per second of the machine divided by those of the GPU; None if the model does not fit.
        gives_energy_saving: Energy of the GPU at its power limit divided by that of the machine; None without a
            modelled energy.
        source: Source of the GPU's latency.
        claim_source: Source of the claims.
    """

    gpu: str
    model: str
    batch: int
    gpu_ms: float
    needed_ms: float
    needed_tops: float
    needed_mj: float
    machine: str
    gives_speedup: float | None
    gives_energy_saving: float | None
    source: str
    claim_source: str


@dataclass(frozen=True)
class UtilizationClaim:
    """Ratio of the paper's GOPS per DSP to those of another accelerator, from one table, beside the modelled ratio.

    Attributes:
        against: System that the paper compares with.
        model: Name of the architecture.
        paper_gops_per_dsp: Figure of the paper's own accelerator.
        others_gops_per_dsp: Figure of the other system in the same table.
        published_ratio: The first divided by the second.
        modelled_ratio: Modelled GOPS per DSP of the machine divided by those of the modelled peer; None without one.
        source: The table.
    """

    against: str
    model: str
    paper_gops_per_dsp: float
    others_gops_per_dsp: float
    published_ratio: float
    modelled_ratio: float | None
    source: str


def gpu_claims(models: Sequence[str], machines: Sequence[Machine], weight_bits: int = 8) -> list[GpuClaim]:
    """Compute what the claims over a GPU would need.

    Args:
        models: Names of architectures; those without a published latency have no row.
        machines: Modelled machines.
        weight_bits: Weight width of the modelled machines.

    Returns:
        One row per model, published latency and machine.

    Raises:
        AccelError: A model is unknown.
    """
    published, rows = load_published(), []
    claims = published.claims
    for model in models:
        found = published.of(model)
        workload = workload_of(model, Precision(weight_bits))
        results = [simulate(workload, machine).result for machine in machines] if found else []
        for gpu in found:
            needed = gpu.batch_ms / claims.speedup
            for result in results:
                images, energy = result.images_per_s, None if result.asic_only else result.energy_mj
                rows.append(
                    GpuClaim(
                        gpu.system, model, gpu.batch, gpu.batch_ms, needed,
                        2e-9 * workload.macs * gpu.batch / needed, gpu.at_most_mj / claims.energy_saving,
                        result.hardware, images / gpu.images_per_s if images else None,
                        gpu.at_most_mj / energy if energy else None, gpu.source, claims.source,
                    )
                )  # fmt: skip
    return rows


def utilization_claims(rows: Sequence[PeerRow], peers: dict[str, str]) -> list[UtilizationClaim]:
    """Compute the ratios of the paper's tables, beside those of the modelled organisations.

    Args:
        rows: Modelled organisations.
        peers: Published system → name of its modelled organisation.

    Returns:
        One row per published figure of another system on a model of the rows.
    """
    published, found = load_published(), []
    modelled = {(row.system, row.model): row.gops_per_dsp for row in rows}
    for model in dict.fromkeys(row.model for row in rows):
        ours = next(row.gops_per_dsp for row in rows if row.model == model)
        own = {row.source: row.value for row in published.densities(model, AUTHORS)}
        for other in published.densities(model):
            if other.system == AUTHORS:
                continue
            theirs = modelled.get((peers.get(other.system, ""), model))
            found.append(
                UtilizationClaim(
                    other.system, model, own[other.source], other.value, own[other.source] / other.value,
                    ours / theirs if ours and theirs else None, other.source,
                )
            )  # fmt: skip
    return found
