"""``p2vit simulate`` with several models or machines: one row for each pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from p2vit.accel.problems import AccelError
from p2vit.report.simulation_plots import bars
from p2vit.workflows.simulate import run_simulate, write_text

#: Keys of a row, as in the answer about one pair.
KEYS = (
    "model", "hardware", "method", "fits", "cycles", "latency_ms", "images_per_s", "gops", "peak_gops",
    "utilization", "energy_mj", "power_mw", "area_mm2", "dsps", "gops_per_dsp", "asic_only",
)  # fmt: skip


def run_simulations(
    models: Sequence[str], hardware: Sequence[str], *, plot: Path | None = None, **options: Any
) -> dict[str, Any]:
    """Simulate every model on every machine.

    Args:
        models: Architecture names or folders of programs.
        hardware: Shipped descriptions or paths of YAML files.
        plot: SVG of the latencies to write.
        options: As `run_simulate` takes them; no trace and no report, which are about one pair.

    Returns:
        ``rows``: one per pair, in the order given; ``misfit`` says why a model does not fit.

    Raises:
        AccelError: on anything the user can put right.
    """
    problems = [
        f"--{name} is about one model on one machine; give one of each, or --plot"
        for name in ("trace", "report")
        if options.pop(name, None)
    ]
    overwrite = options.pop("overwrite", False)
    if plot and plot.exists() and not overwrite:
        problems.append(f"{plot} exists; give --overwrite to replace it")
    if problems:
        raise AccelError("simulate", problems)
    rows = []
    for model in models:
        for name in hardware:
            answer = run_simulate(model, name, explain=False, **options)
            why = answer["infeasible"][0]["statement"] if answer["infeasible"] else None
            rows.append({key: answer[key] for key in KEYS} | {"misfit": why})
    if plot:
        lasting = [(f"{row['model']}, {row['hardware']}", row["latency_ms"]) for row in rows if row["fits"]]
        write_text(plot, bars(lasting, "ms", width=900, left=400))
    return {"modelled": True, "rows": rows}
