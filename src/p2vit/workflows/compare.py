"""``p2vit compare``: compare modelled accelerators with published systems and a measured GPU."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from p2vit.accel.claims import gpu_claims, utilization_claims
from p2vit.accel.compare import DEITS, against_gpu, gops_per_dsp, pipelining_ablation
from p2vit.accel.machine.description import ChunkMachine, Machine
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.peers.description import load_peers
from p2vit.accel.peers.table import PeerRow, peer_rows
from p2vit.accel.published import load_published
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.files import check_output, one_writer, write_text
from p2vit.report.charts.comparison import comparison_chart
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import CompareOptions

__all__ = ["known_machines", "run_compare"]

MODELS = ("deit_base_patch16_224", "vit_large_patch16_224", "swin_tiny_patch4_window7_224")
NOTES = (
    "The paper's 10.1x speed and 36.8x energy name neither GPU model, nor network, nor batch. `gpu_claims` shows what "
    "they would need against each published latency.",
    "The paper's 1.84x is the largest ratio of its table VII: its GOPS per DSP on DeiT-B over those of Auto-ViT-Acc's "
    "fixed-point version. Over the version with power-of-two weights in LUTs the table gives 1.05x to 1.07x.",
    "Peers are organisations, not copies: each has the multipliers, clock, DRAM and buffers of the machine that it "
    "stands beside. The JSON lists for each what is known and what is assumed.",
    "The energy of a published GPU is the power limit of its board times its latency. It is an upper bound.",
    "All figures of modelled accelerators are modelled. None was measured on silicon.",
)


@one_writer("plot")
def run_compare(
    models: Sequence[str] = (),
    hardware: Sequence[str] = (),
    options: CompareOptions | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Compare modelled accelerators with published and measured systems.

    Args:
        models: Names of architectures; if empty, one of each kind with published figures.
        hardware: Names or YAML files of accelerators; if empty, ``paper``, ``server`` and ``fpga``.
        options: Options; the defaults of `CompareOptions` if None.
        **replaced: Fields of `CompareOptions` that replace those of ``options``.

    Returns:
        ``rows``: ``system``, ``model``, ``bits``, ``batch``, ``latency_ms`` of a batch, ``energy_mj`` per image,
        ``images_per_second``, ``gops_per_dsp``, ``kind`` (published, modelled or measured), ``source`` and ``ratio``.
        The ratio is images per second over those of the model's first published row. In a row with GOPS per DSP only,
        it is GOPS per DSP over that of the first modelled row.
        ``ablation``: the paper's pipelining ablation, on the first accelerator whose chunks pass rows on.
        ``peers``: organisations of published accelerators (`PeerRow`), at the size of the first machine of chunks that
        is counted in DSPs, or else the first machine of chunks.
        ``gpu_claims``: what the paper's speed and energy saving over a GPU would need (`GpuClaim`).
        ``utilization_claims``: what the paper's 1.84x computation utilization is against (`UtilizationClaim`).
        ``notes``: limits of the figures.

    Raises:
        AccelError: The model, the accelerator or an option is not allowed; the message says what to do.
    """
    options = changed(CompareOptions, options, replaced)
    if options.plot:
        check_output(options.plot, options.overwrite)
    machines = [load_machine(name) for name in hardware or ("paper", "server", "fpga")]
    rows: list[dict[str, Any]] = []
    for model in models or MODELS:
        own = [*_published(model), *(_modelled(model, machine, options.weight_bits) for machine in machines)]
        own += _measured(model, machines[0], options.gpu) if options.gpu else []
        rows += _with_ratios([*own, *_published_dsps(model)])
    flowing = next((machine for machine in machines if machine.flows and not machine.dsps), None)
    ablation = [asdict(row) for row in pipelining_ablation(flowing, DEITS)] if flowing else []
    dsps = next((machine for machine in machines if machine.dsps), None)
    peers = _peers(models, machines, options.weight_bits)
    modelled = {peer.published_as: peer.name for peer in load_peers() if peer.published_as}
    answer: dict[str, Any] = {
        "rows": rows,
        "peers": [asdict(row) for row in peers],
        "gpu_claims": [asdict(row) for row in gpu_claims(models or MODELS, machines, options.weight_bits)],
        "utilization_claims": [asdict(row) for row in utilization_claims(peers, modelled)],
        "ablation": ablation,
        "ablation_on": flowing.name if flowing else None,
        "gops_per_dsp": [asdict(row) for row in gops_per_dsp(dsps, method="closed_form")] if dsps else [],
        "notes": list(NOTES),
    }
    if options.plot:
        write_text(options.plot, comparison_chart(rows, answer["peers"]), options.overwrite)
    return answer


def _row(system: str, model: str, kind: str, source: str, **figures: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("bits", "batch", "latency_ms", "energy_mj", "images_per_second", "gops_per_dsp"))
    return {
        "system": system,
        "model": model,
        **empty,
        **figures,
        "kind": kind,
        "source": source,
        "ratio": None,
    }


def _published(model: str) -> list[dict[str, Any]]:
    return [
        _row(
            found.system, model, "published",
            found.source if found.model == model else f"{found.source}; of {found.model}, which has the same shapes",
            bits=found.bits, batch=found.batch, latency_ms=found.batch_ms,
            energy_mj=found.at_most_mj, images_per_second=found.images_per_s,
        )
        for found in load_published().of(model)
    ]  # fmt: skip


def _modelled(model: str, machine: Machine, weight_bits: int) -> dict[str, Any]:
    result = simulate(workload_of(model, Precision(weight_bits)), machine).result
    why = f"; does not fit: {result.infeasible[0].statement}" if result.infeasible else ""
    return _row(
        machine.name, model, "modelled", f"this project's model, table {result.technology}{why}",
        bits=weight_bits, batch=1, latency_ms=result.latency_ms,
        energy_mj=None if result.asic_only else result.energy_mj,
        images_per_second=result.images_per_s, gops_per_dsp=result.gops_per_dsp,
    )  # fmt: skip


def _measured(model: str, machine: Machine, gpu: Path) -> list[dict[str, Any]]:
    board, rows = against_gpu(machine, gpu)
    return [
        _row(
            f"{board.name}, {board.software}, {row.precision}", model, "measured", board.measured_with,
            batch=row.batch, latency_ms=row.batch / row.gpu_images_per_s * 1e3,
            energy_mj=row.gpu_mj_per_image, images_per_second=row.gpu_images_per_s,
        )
        for row in rows
        if row.model == model
    ]  # fmt: skip


def _published_dsps(model: str) -> list[dict[str, Any]]:
    """Return rows with the GOPS per DSP that the paper reports for itself and for others."""
    return [
        _row(row.system, model, "published", row.source, gops_per_dsp=row.value)
        for row in load_published().densities(model)
    ]


def _peers(models: Sequence[str], machines: Sequence[Machine], weight_bits: int) -> list[PeerRow]:
    """Model the peers beside the first machine of chunks, preferably one that is counted in DSPs."""
    flowing = [machine for machine in machines if isinstance(machine, ChunkMachine)]
    beside = next((machine for machine in flowing if machine.dsps), flowing[0] if flowing else None)
    return peer_rows(beside, models or DEITS, weight_bits) if beside else []


def _with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set each row's ratio to the first published throughput, or to the first modelled GOPS per DSP."""
    speed = next((row["images_per_second"] for row in rows if row["kind"] == "published"), None)
    dense = next(
        (row["gops_per_dsp"] for row in rows if row["kind"] == "modelled" and row["gops_per_dsp"]), None
    )
    for row in rows:
        if speed and row["images_per_second"]:
            row["ratio"] = row["images_per_second"] / speed
        elif dense and row["gops_per_dsp"] and row["kind"] == "published":
            row["ratio"] = row["gops_per_dsp"] / dense
    return rows
