"""``p2vit simulate`` with several models or accelerators: one row for each pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from p2vit.accel.problems import AccelError
from p2vit.files import check_output, one_writer, write_text
from p2vit.report.charts.bars import bars
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import SimulateOptions
from p2vit.workflows.simulate import run_simulate

#: Keys of a row; the same as for a single pair.
KEYS = (
    "model", "hardware", "method", "batch", "fits", "cycles", "latency_ms", "images_per_s", "gops", "peak_gops",
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
    """Simulate every model on every accelerator.

    Args:
        models: Names of architectures, or folders of programs.
        hardware: Names of accelerators, or paths of YAML files.
        options: Options; the defaults of `SimulateOptions` if None. ``trace`` and ``report`` must be None.
        plot: SVG chart of the latencies to write.
        **replaced: Fields of `SimulateOptions` that replace those of ``options``.

    Returns:
        ``rows``: one row per pair, in the given order. ``misfit`` is the reason why a model does not fit, or None.

    Raises:
        AccelError: The model, the accelerator or an option is not allowed; the message says what to do.
    """
    options = changed(SimulateOptions, options, replaced)
    problems = [
        f"--{name} needs one model and one accelerator; give one of each, or use --plot"
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
        write_text(
            plot,
            bars(lasting, "ms", f"Latency of {_images(options.batch)}, modelled", width=900, labels=400),
            options.overwrite,
        )
    return {"modelled": True, "rows": rows}


def _images(batch: int) -> str:
    return "one image" if batch == 1 else f"{batch} images"
