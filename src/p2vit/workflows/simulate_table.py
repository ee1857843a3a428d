"""``p2vit simulate`` with several models or machines: one row for each pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from p2vit.accel.problems import AccelError
from p2vit.files import check_output, one_writer, write_text
from p2vit.report.simulation_plots import bars
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import SimulateOptions
from p2vit.workflows.simulate import run_simulate

#: Keys of a row, as in the answer about one pair.
KEYS = (
    "model", "hardware", "method", "fits", "cycles", "latency_ms", "images_per_s", "gops", "peak_gops",
    "utilization", "energy_mj", "power_mw", "area_mm2", "dsps", "gops_per_dsp", "asic_only",
)  # fmt: skip


@one_writer("plot")
def run_simulations(
    models: Sequence[str],
    hardware: Sequence[str],
    options: SimulateOptions | None = None,
    *,
    plot: Path | None = None,
    **replaced: Any,
) -> dict[str, Any]:
    """Simulate every model on every machine.

    Args:
        models: Architecture names or folders of programs.
        hardware: Shipped descriptions or paths of YAML files.
        options: What may be chosen; the defaults of `SimulateOptions` if None. No trace and no report: they are about
            one pair.
        plot: SVG of the latencies to write.
        **replaced: Fields of `SimulateOptions` that replace those of ``options``.

    Returns:
        ``rows``: one per pair, in the order given; ``misfit`` says why a model does not fit.

    Raises:
        AccelError: on anything the user can put right.
    """
    options = changed(SimulateOptions, options, replaced)
    problems = [
        f"--{name} is about one model on one machine; give one of each, or --plot"
        for name in ("trace", "report")
        if getattr(options, name)
    ]
    if problems:
        raise AccelError("simulate", problems)
    if plot:
        check_output(plot, options.overwrite)
    rows = []
    for model in models:
        for name in hardware:
            answer = run_simulate(model, name, options, explain=False)
            why = answer["infeasible"][0]["statement"] if answer["infeasible"] else None
            rows.append({key: answer[key] for key in KEYS} | {"misfit": why})
    if plot:
        lasting = [(f"{row['model']}, {row['hardware']}", row["latency_ms"]) for row in rows if row["fits"]]
        write_text(plot, bars(lasting, "ms", width=900, left=400), options.overwrite)
    return {"modelled": True, "rows": rows}
