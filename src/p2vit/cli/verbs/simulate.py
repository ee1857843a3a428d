"""``p2vit simulate``: what a model costs on a modelled accelerator."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common
from p2vit.workflows.options.base import choices
from p2vit.workflows.options.hardware import SimulateOptions
from p2vit.workflows.simulate import known_machines, run_simulate


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
    type=click.Choice(choices(SimulateOptions, "method")),
    default="closed_form",
    show_default=True,
    help="descriptors: the generated RTL's own cycles, for a program and --hw rtl, rtl-wide or rtl-small.",
)
@click.option(
    "--weight-bits", type=click.Choice(["4", "8"]), default="8", show_default=True, help="Of every linear."
)
@click.option(
    "--attention", type=click.Choice(choices(SimulateOptions, "attention")), default="log2", show_default=True
)
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
def simulate(out: Output, model: str, hardware: str, weight_bits: str, **options: Any) -> int:
    """Cycles, energy, area and utilisation of MODEL on an accelerator. Every figure is modelled."""
    answer = run_simulate(model, hardware, weight_bits=int(weight_bits), **options)
    out.result(answer, summary(answer))
    return 0 if answer["fits"] else CHECK_FAILED


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
