"""``p2vit simulate``: what a model costs on a modelled accelerator."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from p2vit.accel.dataflow import Schedule
from p2vit.accel.explain import limiting_resource, what_would_help
from p2vit.accel.machines import known_machines, load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.report import html_report
from p2vit.accel.resolve import workload_of
from p2vit.accel.simulate import Run
from p2vit.accel.simulate import simulate as run_model
from p2vit.accel.timing import Timing
from p2vit.accel.trace import perfetto_trace
from p2vit.accel.workload_vit import Precision
from p2vit.cli.common import Output, common
from p2vit.errors import P2vitError


def run_simulate(
    model: str,
    hardware: str,
    *,
    method: str = "closed_form",
    weight_bits: int = 8,
    attention: str = "log2",
    inter_layer: bool | None = None,
    intra_layer: bool | None = None,
    trace: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Simulate a model and write what is asked for.

    Args:
        model: Architecture name.
        hardware: Shipped description or path of a YAML file.
        method: ``closed_form`` or ``events``; a trace or a report needs tiles, so they run ``events``. ``descriptors``:
            the exact cycles of the RTL, for a program's folder and a machine that exists as RTL.
        weight_bits: 8 or 4.
        attention: ``log2`` codes on the shifters, or ``uniform8`` codes on the MACs.
        inter_layer: Overrides the description.
        intra_layer: Overrides the description.
        trace: Perfetto JSON to write.
        report: HTML to write.
        overwrite: Whether existing files may be replaced.

    Returns:
        The `Simulation` as a dictionary, with ``limiting`` and ``levers``.

    Raises:
        AccelError: on anything the user can put right.
    """
    existing = [
        f"{path} exists; give --overwrite to replace it" for path in (trace, report) if path and path.exists()
    ]
    if existing and not overwrite:
        raise AccelError("output", existing)
    machine = load_machine(hardware)
    pipelining = {"inter_layer": inter_layer, "intra_layer": intra_layer}
    chosen = machine.pipelining.model_dump() | {
        key: value for key, value in pipelining.items() if value is not None
    }
    machine = machine.with_pipelining(**chosen)
    workload = workload_of(model, Precision(weight_bits, attention == "log2"))
    if method == "descriptors":
        run = run_model(
            workload, machine, "descriptors", _descriptor_timing(model, hardware, inter_layer, intra_layer)
        )
    else:
        tiles = method == "events" or trace is not None or report is not None
        run = run_model(workload, machine, "events" if tiles else "closed_form")
    if run.timing and trace:
        _write(trace, perfetto_trace(run))
    if run.timing and report:
        _write(report, html_report(run))
    return _answer(run)


def _descriptor_timing(model: str, hardware: str, *pipelining: bool | None) -> Callable[[Schedule], Timing]:
    """The RTL's cycles instead of the chunk model's.

    Raises:
        AccelError: no program, or a machine that does not exist as RTL.
        UnfitProgramError: a program that the RTL cannot hold.
    """
    from p2vit.program.format import load
    from p2vit.rtl.chunk_timing import chunk_timing
    from p2vit.rtl.compile.compiler import compile_program
    from p2vit.rtl.top.machine import MACHINES

    if not Path(model).is_dir():
        raise AccelError(
            model, ["--method descriptors needs a program: the folder that p2vit quantize wrote"]
        )
    if hardware not in MACHINES:
        raise AccelError(
            hardware, [f"--method descriptors is for machines that exist as RTL: --hw {', '.join(MACHINES)}"]
        )
    if any(switch is not None for switch in pipelining):
        raise AccelError(
            "pipelining", ["the RTL's cannot be switched; leave the option out with --method descriptors"]
        )
    compiled = compile_program(load(Path(model)), MACHINES[hardware])
    return partial(chunk_timing, compiled)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AccelError("output", [f"{path} cannot be written: {error.strerror}"]) from None


def _answer(run: Run) -> dict[str, Any]:
    answer = run.result.model_dump()
    if run.timing:
        name, share = limiting_resource(run)
        answer["limiting"] = {"resource": name, "busy": share}
        answer["levers"] = [asdict(lever) for lever in what_would_help(run.workload, run.machine)]
    return answer


@click.command("simulate")
@click.argument("model")
@click.option(
    "--hw",
    "hardware",
    default="paper",
    show_default=True,
    help=f"{', '.join(known_machines())} or a YAML file.",
)
@click.option(
    "--method",
    type=click.Choice(["closed_form", "events", "descriptors"]),
    default="closed_form",
    show_default=True,
    help="descriptors: the generated RTL's own cycles, for a program and --hw rtl, rtl-wide or rtl-small.",
)
@click.option(
    "--weight-bits", type=click.Choice(["4", "8"]), default="8", show_default=True, help="Of every linear."
)
@click.option("--attention", type=click.Choice(["log2", "uniform8"]), default="log2", show_default=True)
@click.option(
    "--inter-layer/--no-inter-layer", default=None, help="Overlap operations. Default: the description's."
)
@click.option(
    "--intra-layer/--no-intra-layer", default=None, help="Hide re-quantization. Default: the description's."
)
@click.option("--trace", type=click.Path(path_type=Path), help="Write a Perfetto trace (JSON).")
@click.option("--report", type=click.Path(path_type=Path), help="Write one offline HTML file.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@common
def simulate(out: Output, model: str, hardware: str, weight_bits: str, **options: Any) -> None:
    """Cycles, energy, area and utilisation of MODEL on an accelerator. Every figure is modelled."""
    try:
        answer = run_simulate(model, hardware, weight_bits=int(weight_bits), **options)
    except P2vitError as error:
        out.refuse(str(error))
        raise SystemExit(2) from None
    out.result(answer, summary(answer))
    if not answer["fits"]:
        raise SystemExit(1)


def summary(answer: dict[str, Any]) -> str:
    """What people read: a dozen lines."""
    how = f"{answer['method']}, table {answer['technology']}; modelled"
    head = f"{answer['model']} on {answer['hardware']} ({how})"
    if not answer["fits"]:
        reasons = [
            f"  does not fit: {item['statement']}:"
            f" needs {item['demand']:,.0f} {item['unit']}, has {item['bound']:,.0f}\n"
            + "\n".join(f"    would fit with: {lever}" for lever in item["levers"])
            for item in answer["infeasible"]
        ]
        return "\n".join([head, *reasons])
    lines = [
        head,
        f"  {answer['cycles']:,} cycles at {answer['clock_mhz']:g} MHz = {answer['latency_ms']:.3f} ms,"
        f" {answer['images_per_s']:.1f} images/s, {answer['gops']:.0f} GOPS",
        f"  MAC array utilisation {answer['utilization']:.1%}",
        f"  {answer['energy_mj']:.3f} mJ, {answer['power_mw']:.0f} mW, {answer['area_mm2']:.2f} mm²",
    ]
    if answer["dsps"]:
        lines.append(
            f"  {answer['dsps']:.0f} DSPs ({answer['macs_per_dsp']:g} MACs packed per DSP):"
            f" {answer['gops_per_dsp']:.3f} GOPS/DSP at {answer['clock_mhz']:g} MHz"
        )
    lines.append(f"  limited by {answer['limiting']['resource']} (busy {answer['limiting']['busy']:.1%})")
    lines += [f"    2 x {lever['name']}: {lever['gain']:.3f}x faster" for lever in answer["levers"][:3]]
    return "\n".join(lines)
