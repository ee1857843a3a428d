"""Organisations side by side, at equal multipliers, clock, DRAM bandwidth and buffers."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2vit.accel.machine.description import ChunkMachine
from p2vit.accel.peers.description import Peer, load_peers
from p2vit.accel.peers.pipeline import spatial_pipeline
from p2vit.accel.published import load_published
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of


@dataclass(frozen=True)
class PeerRow:
    """One organisation on one model. All figures but ``published_gops_per_dsp`` are modelled.

    Attributes:
        system: Name of the peer, or of the machine that it stands beside.
        title: What it is, in words.
        organisation: ``chunks``, ``single_engine`` or ``pipeline``.
        model: Name of the architecture.
        multipliers: 8×8 multipliers.
        clock_mhz: Clock.
        dram_gbytes_per_s: DRAM bandwidth.
        latency_ms: Latency of one image; None if it does not fit, or for a pipeline.
        images_per_second: Throughput; None if it does not fit.
        utilization: MACs that the multipliers executed, divided by those that they could execute in the time.
        gops_per_dsp: 2 × MACs of the model per second and DSP.
        speed: Images per second divided by those of the machine that the peers stand beside.
        published_gops_per_dsp: Published figure for this model, or None.
        published_source: Where the published figure is from, or None.
        source: Where the known facts are from.
        known: Published facts.
        assumed: What was chosen.
    """

    system: str
    title: str
    organisation: str
    model: str
    multipliers: int
    clock_mhz: float
    dram_gbytes_per_s: float
    latency_ms: float | None
    images_per_second: float | None
    utilization: float | None
    gops_per_dsp: float | None
    speed: float | None
    published_gops_per_dsp: float | None
    published_source: str | None
    source: str
    known: tuple[str, ...]
    assumed: tuple[str, ...]


def peer_rows(
    machine: ChunkMachine, models: Sequence[str], weight_bits: int = 8, peers: Sequence[Peer] | None = None
) -> list[PeerRow]:
    """Model the organisations of published accelerators beside a machine, at equal size.

    Args:
        machine: Machine of chunks, with ``macs_per_dsp`` above 0 for figures per DSP.
        models: Names of architectures.
        weight_bits: Weight width, 8 or 4.
        peers: Descriptions; None means the shipped ones.

    Returns:
        For every model, the row of the machine and one row per peer.

    Raises:
        AccelError: A model is unknown, or a description does not fit the machine.
    """
    rows: list[PeerRow] = []
    for model in models:
        workload = workload_of(model, Precision(weight_bits))
        result = simulate(workload, machine).result
        ours = result.images_per_s
        source = "this project's model"
        rows.append(
            PeerRow(
                machine.name, machine.summary, machine.organisation, model,
                machine.chunks.mac_array.macs_per_cycle, machine.clock_mhz, machine.dram.bandwidth_gbytes_per_s,
                result.latency_ms, ours, result.utilization, result.gops_per_dsp, 1.0 if ours else None,
                None, None, source, machine.known, machine.assumed,
            )
        )  # fmt: skip
        rows += [
            _row(peer, machine, model, weight_bits, ours)
            for peer in (load_peers() if peers is None else peers)
        ]
    return rows


def _row(peer: Peer, machine: ChunkMachine, model: str, weight_bits: int, ours: float | None) -> PeerRow:
    made = peer.beside(machine)
    workload = workload_of(model, Precision(weight_bits, peer.softmax == "log2"))
    latency = images = utilization = dense = None
    if peer.organisation == "pipeline":
        if steady := spatial_pipeline(workload, made):
            images = made.clock_mhz * 1e6 / steady.interval_cycles
            utilization = steady.utilization
            dense = 2e-9 * workload.macs * images / made.dsps if made.dsps else None
    else:
        result = simulate(workload, made).result
        latency, images = result.latency_ms, result.images_per_s
        utilization, dense = result.utilization, result.gops_per_dsp
    figures = load_published().densities(model, peer.published_as) if peer.published_as else []
    figure = next(iter(figures), None)
    return PeerRow(
        peer.name, peer.title, peer.organisation, model,
        made.chunks.mac_array.macs_per_cycle, made.clock_mhz, made.dram.bandwidth_gbytes_per_s,
        latency, images, utilization, dense, images / ours if images and ours else None,
        figure.value if figure else None, figure.source if figure else None,
        peer.source, peer.known, peer.assumed,
    )  # fmt: skip
