"""Export of a run as a Chrome/Perfetto trace: one track per chunk, one slice per tile, stalls with reasons."""

import json
from typing import Any

from p2vit.accel.chunks.costs import CHUNKS
from p2vit.accel.simulate import Run


def perfetto_trace(run: Run) -> str:
    """Make trace-event JSON that ui.perfetto.dev opens.

    Args:
        run: Run of the event-driven simulation.

    Returns:
        JSON text. Times are modelled microseconds; the arguments of each slice give cycles.

    Raises:
        ValueError: The run has no tiles, because it is a closed form or does not fit.
    """
    if run.timing is None or not run.timing.tiles:
        raise ValueError(
            "a trace needs tiles: simulate with method 'events' (and a machine that the model fits)"
        )
    per_us = run.machine.clock_mhz
    events: list[dict[str, Any]] = [
        {
            "ph": "M",
            "pid": 1,
            "name": "process_name",
            "args": {"name": f"{run.workload.name} on {run.machine.name}"},
        }
    ]
    for track, chunk in enumerate(CHUNKS, start=1):
        events.append({"ph": "M", "pid": 1, "tid": track, "name": "thread_name", "args": {"name": chunk}})
        events.append(
            {"ph": "M", "pid": 1, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}
        )
    tracks = {chunk: track for track, chunk in enumerate(CHUNKS, start=1)}
    for tile in run.timing.tiles:
        operation = run.plan.operations[tile.section][tile.operation]
        common = {"ph": "X", "pid": 1, "tid": tracks[tile.chunk]}
        if tile.waited >= 1:
            start = tile.start - tile.waited
            events.append(
                common
                | {
                    "name": f"stall: {tile.reason}",
                    "cat": "stall",
                    "ts": start / per_us,
                    "dur": tile.waited / per_us,
                }
            )
        events.append(
            common
            | {
                "name": operation.name,
                "cat": operation.part,
                "ts": tile.start / per_us,
                "dur": (tile.end - tile.start) / per_us,
                "args": {
                    "kind": operation.kind,
                    "start_cycle": round(tile.start),
                    "cycles": round(tile.end - tile.start),
                },
            }
        )
    meta = {"model": run.workload.name, "hardware": run.machine.name, "clock_mhz": per_us, "modelled": True}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns", "otherData": meta}) + "\n"
