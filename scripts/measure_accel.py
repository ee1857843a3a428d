"""Regenerate the figures in this folder.

    python scripts/measure_accel.py

Writes `figures.json` (everything) and `figures.md` (the same as tables). Times are this machine's; cycles,
energy and area are modelled and the same everywhere.
"""

import json
import os
import platform
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from p2vit.accel.chunks.gemm import output_stationary_cycles, weight_stationary_cycles
from p2vit.accel.compare import DEITS, gops_per_dsp, pipelining_ablation
from p2vit.accel.explore.point_evaluator import evaluator
from p2vit.accel.explore.search import explore
from p2vit.accel.explore.space import load_space
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.paper_ablation import ablation_by_width, exposures, possible_overall
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.cluster import ClusterOptions, open_pool

HERE = Path(__file__).parents[1] / "results" / "accel"
MODELS = [*DEITS, "swin_tiny_patch4_window7_224", "vit_small_patch14_dinov2_224"]
SCALE_SIM = {
    "qkv": (197, 1152, 384),
    "scores": (197, 197, 64),
    "values": (197, 64, 197),
    "proj": (197, 384, 384),
    "fc1": (197, 1536, 384),
    "fc2": (197, 384, 1536),
}


def milliseconds(call: Any, times: int) -> float:
    """Median wall time of a call."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def every_model() -> list[dict[str, Any]]:
    """Every shipped description x every model, both timing models."""
    rows = []
    for hardware in known_machines():
        for model in MODELS:
            machine, workload = load_machine(hardware), workload_of(model)
            closed = simulate(workload, machine).result
            events = simulate(workload, machine, "events").result
            if not events.fits:
                continue
            stalled = next(chunk for chunk in events.chunks if chunk.name == "mac_array").stalls
            rows.append(
                {
                    "hardware": hardware,
                    "model": model,
                    "cycles_events": events.cycles,
                    "closed_form_over_events": closed.cycles / events.cycles - 1,
                    "latency_ms": events.latency_ms,
                    "utilization": events.utilization,
                    "energy_mj": events.energy_mj,
                    "technology": events.technology,
                    "mac_array_stalls": stalled,
                }
            )
    return rows


def counter_designs() -> list[dict[str, Any]]:
    """What the paper argues against, in cycles over the paper's machine."""
    paper = load_machine("paper")
    lanes = edit_machine(load_machine("float_requant"), {"pipelining.intra_layer": True})
    designs = {
        "float32, its lanes streaming (intra-layer on)": lanes,
        "float32, nothing hidden": load_machine("float_requant"),
        "8-bit multiplier": load_machine("multiplier_requant"),
        "32-bit multiplier, 2 lanes": edit_machine(
            load_machine("multiplier_requant"),
            {"chunks.requantization.method": "multiplier32", "chunks.requantization.lanes": 2},
        ),
        "one engine": load_machine("single_engine"),
    }
    rows = []
    for name, machine in designs.items():
        for model in DEITS:
            workload = workload_of(model)
            ours, theirs = (simulate(workload, m, "events").result for m in (paper, machine))
            rows.append(
                {
                    "design": name,
                    "model": model,
                    "latency": theirs.cycles / ours.cycles,
                    "energy": theirs.energy_mj / ours.energy_mj,
                }
            )
    return rows


def speed() -> dict[str, Any]:
    """How long the tools take here."""
    machine, workload = load_machine("paper"), workload_of("deit_base_patch16_224")
    workloads = {bits: workload_of("deit_small_patch16_224", Precision(bits)) for bits in (4, 8)}
    space = load_space("chunks")
    load = os.getloadavg()[0]
    rates, fronts, cpu = {}, {}, {}
    for workers in (1, 2):
        with open_pool(ClusterOptions(workers=workers)) as pool:
            evaluate = evaluator(machine, workloads, pool)
            started = time.process_time()
            found = explore(space, machine, workloads, evaluate, points=5000)
            cpu[workers] = time.process_time() - started
        rates[workers] = found.points / found.seconds * 60
        fronts[workers] = found.pareto
    return {
        "closed_form_deit_base_ms": milliseconds(lambda: map_workload(machine, workload), 15),
        "simulate_closed_form_deit_base_ms": milliseconds(lambda: simulate(workload, machine), 15),
        "simulate_events_deit_base_ms": milliseconds(lambda: simulate(workload, machine, "events"), 5),
        "explore_points_per_minute_1_worker": rates[1],
        "explore_points_per_minute_2_workers": rates[2],
        "explore_points_per_cpu_minute_1_worker": 5000 / cpu[1] * 60,
        "load_average_before": load,
        "explore_same_front": fronts[1] == fronts[2],
        "explore_points_on_front": len(fronts[1]),
        "cpu": platform.processor() or platform.machine(),
        "cpus_seen": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def ablation_without_spill() -> list[float]:
    """Overall figures of DeiT-S where the accumulator buffer holds one head's scores."""
    roomy = edit_machine(load_machine("paper"), {"buffers.accumulator.size_bytes": 196608})
    return [row.overall for row in pipelining_ablation(roomy, DEITS[1:2], "events")]


def collect() -> dict[str, Any]:
    """Everything."""
    paper = load_machine("paper")
    return {
        "command": "python scripts/measure_accel.py",
        "scale_sim_32x32": {
            name: {
                "weight_stationary": weight_stationary_cycles(*shape, 32, 32),
                "output_stationary": output_stationary_cycles(*shape, 32, 32),
            }
            for name, shape in SCALE_SIM.items()
        },
        "ablation": [asdict(row) for row in pipelining_ablation(paper, DEITS, "events")],
        "ablation_by_width": [
            asdict(row) for row in ablation_by_width(paper, (192, 256, 384, 512, 768, 1024))
        ],
        "ablation_deit_small_without_score_spill": ablation_without_spill(),
        "exposures": {
            model: [asdict(row) for row in exposures(paper, workload_of(model))] for model in DEITS
        },
        "paper_intra_only_overall_possible": possible_overall((False, True)),
        "gops_per_dsp": [asdict(row) for row in gops_per_dsp(load_machine("fpga"))],
        "every_model": every_model(),
        "counter_designs": counter_designs(),
        "speed": speed(),
    }


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """A Markdown table; ``columns`` are headings by key."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [row[key] for key in columns]
        lines.append(
            "| "
            + " | ".join(f"{cell:,.4g}" if isinstance(cell, float) else str(cell) for cell in cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def markdown(figures: dict[str, Any]) -> str:
    """The figures as tables."""
    onoff = {True: "on", False: "off"}
    ablation = [
        row
        | {"setting": f"inter {onoff[row['inter_layer']]}, intra {onoff[row['intra_layer']]}"}
        | {"paper_overall": row["paper"][2], "off": f"{row['deviation']:+.1%}"}
        for row in figures["ablation"]
    ]  # fmt: skip
    dsp = [
        row
        | {
            "paper": " / ".join(f"{figure:g}" for figure in row["paper"]),
            "match": " / ".join(f"{clock:.0f}" for clock in row["clock_to_match_mhz"]),
        }
        for row in figures["gops_per_dsp"]
    ]
    every = [
        row | {"agreement": f"{row['closed_form_over_events']:+.2%}", "used": f"{row['utilization']:.1%}"}
        for row in figures["every_model"]
    ]
    speed_rows = [{"what": key, "value": value} for key, value in figures["speed"].items()]
    return "\n".join(
        [
            "# Figures of the accelerator model\n",
            f"Made by `{figures['command']}`. Cycles, energy and area are modelled;"
            " seconds are one machine's.\n",
            "## Pipelining ablation on `paper`, normalised latency (event-driven)\n",
            table(
                ablation,
                {
                    "model": "model",
                    "setting": "setting",
                    "attention": "attention",
                    "mlp": "MLP",
                    "overall": "overall",
                    "paper_overall": "paper, overall",
                    "off": "difference",
                },
            ),
            "## The same by width of the model (heads of 64, 12 blocks)\n",
            table(
                figures["ablation_by_width"],
                {
                    "dim": "channels",
                    "neither": "neither",
                    "inter_only": "inter only",
                    "intra_only": "intra only",
                },
            ),
            "## GOPS per DSP on `fpga` (event-driven)\n",
            table(
                dsp,
                {
                    "model": "model",
                    "gops_per_dsp": "GOPS/DSP",
                    "clock_mhz": "clock, MHz",
                    "macs_per_dsp": "MACs packed per DSP",
                    "utilization": "MAC-array utilisation",
                    "paper": "paper (table IX / VII)",
                    "match": "clock that would give it, MHz",
                },
            ),
            "## Every description, every model (event-driven)\n",
            table(
                every,
                {
                    "hardware": "hardware",
                    "model": "model",
                    "cycles_events": "cycles",
                    "agreement": "closed form off by",
                    "latency_ms": "ms",
                    "used": "MAC-array utilisation",
                    "energy_mj": "mJ",
                    "technology": "table",
                },
            ),
            "## Counter-designs over `paper` (event-driven, equal re-quantization area)\n",
            table(
                figures["counter_designs"],
                {"design": "design", "model": "model", "latency": "latency", "energy": "energy"},
            ),
            "## Speed of the tools\n",
            table(speed_rows, {"what": "what", "value": "value"}),
        ]
    )


if __name__ == "__main__":
    found = collect()
    (HERE / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (HERE / "figures.md").write_text(markdown(found), encoding="utf-8")
