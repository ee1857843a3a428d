"""A self-contained HTML page about one simulation: figures, charts, stalls, layers and the gain of more resources."""

from collections import defaultdict
from typing import Any

from p2vit.accel.chunks.costs import CHUNKS, MAC
from p2vit.accel.explain import limiting_resource, roofline, what_would_help
from p2vit.accel.simulate import Run
from p2vit.report.charts.bars import bars, shares
from p2vit.report.charts.gantt import PARTS, gantt
from p2vit.report.charts.roofline import roofline_plot
from p2vit.report.charts.svg import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from p2vit.report.template import environment

_BUSY = BLUE
# Colour of a stall by its cause. Other causes are grey.
_BLAME = {
    "dram": VERMILION,
    "requantization": ORANGE,
    "shifter_array": PURPLE,
    "activation_buffer": SKY,
}


def html_report(run: Run) -> str:
    """Return the HTML page of a simulation.

    Args:
        run: An event-driven run of a model that fits.

    Returns:
        Self-contained HTML.

    Raises:
        ValueError: The run has no tiles.
    """
    if run.timing is None or not run.timing.tiles:
        raise ValueError(
            "a report needs tiles: simulate with method 'events' (and a machine that the model fits)"
        )
    return environment().get_template("simulation.html.j2").render(**_context(run))


def _context(run: Run) -> dict[str, Any]:
    assert run.timing is not None
    result = run.result
    first, last = _one_block(run)
    busiest, share = limiting_resource(run)
    mac = next(chunk for chunk in result.chunks if chunk.name == MAC)
    return {
        "result": result,
        "machine": run.machine,
        "sources": run.technology.sources,
        "colours": PARTS,
        "limiting": busiest,
        "limiting_share": share,
        "stalls": sorted(mac.stalls.items(), key=lambda item: -item[1]),
        "levers": what_would_help(run.workload, run.machine),
        "parts": _by_part(run),
        "gantt_block": gantt(run, first, last),
        "gantt_run": gantt(run, 0, run.timing.cycles),
        "roofline": roofline_plot(run, roofline(run)),
        "energy": bars(
            sorted(
                ((name.replace("_", " "), mj) for name, mj in result.energy_breakdown_mj.items()),
                key=lambda r: -r[1],
            ),
            "mJ",
            "Energy of one image",
        ),
        "area": bars(
            sorted(
                ((name.replace("_", " "), mm2) for name, mm2 in result.area_breakdown_mm2.items()),
                key=lambda r: -r[1],
            ),
            "mm²",
            "Area",
            colour=GREEN,
        ),
        "blame": {"busy": _BUSY, **_BLAME, "anything else": "#d4d4d4"},
        "chunks": shares(
            [
                (chunk.name.replace("_", " "), {"busy": chunk.busy_cycles, **_stalled(chunk.stalls)})
                for chunk in result.chunks
                if chunk.name in (*CHUNKS, "requantization", "dram")
            ],
            float(run.timing.cycles),
            {"busy": _BUSY, **_BLAME},
            "Busy and stalled cycles of each chunk",
        ),
    }


def _stalled(stalls: dict[str, float]) -> dict[str, float]:
    by_blame: dict[str, float] = defaultdict(float)
    for reason, cycles in stalls.items():
        by_blame[reason.split(":")[0]] += cycles
    return dict(sorted(by_blame.items(), key=lambda item: item[0] not in _BLAME))


def _one_block(run: Run) -> tuple[float, float]:
    """Return the first and the last cycle of the middle block."""
    assert run.timing is not None
    blocks = [number for number, own in enumerate(run.plan.operations) if own[0].block >= 0]
    middle = blocks[len(blocks) // 2] if blocks else 0
    tiles = [tile for tile in run.timing.tiles if tile.section == middle]
    return min(tile.start for tile in tiles), max(tile.end for tile in tiles)


def _by_part(run: Run) -> list[dict[str, Any]]:
    """Sum cycles, MACs, DRAM traffic and energy by part of the network and kind of operation."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for layer in run.result.layers:
        name = layer.name.split(".")[-1] if layer.block >= 0 else layer.name
        row = sums.setdefault(
            (layer.part, name),
            {"part": layer.part, "name": name, "chunk": layer.chunk, "count": 0}
            | dict.fromkeys(("macs", "cycles", "busy_cycles", "dram_bytes", "energy_pj"), 0.0)
            | {"utilization": 0.0},
        )
        row["count"] += 1
        row["utilization"] += layer.utilization * layer.busy_cycles
        for key in ("macs", "cycles", "busy_cycles", "dram_bytes", "energy_pj"):
            row[key] += getattr(layer, key)
    for row in sums.values():
        row["utilization"] /= row["busy_cycles"] or 1.0
    return list(sums.values())
