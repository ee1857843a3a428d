"""``p2vit simulate``: model the cycles, energy and area of a model on an accelerator."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common
from p2vit.workflows.options.base import choices
from p2vit.workflows.options.hardware import SimulateOptions
from p2vit.workflows.simulate import known_machines, run_simulate
from p2vit.workflows.simulate_table import run_simulations


@click.command("simulate")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--hw",
    "hardware",
    default=("paper",),
    multiple=True,
    show_default=True,
    help=f"{', '.join(known_machines())} or a YAML file. Repeatable.",
)
@click.option(
    "--method",
    type=click.Choice(choices(SimulateOptions, "method")),
    default="closed_form",
    show_default=True,
    help="How to count cycles. closed_form: by formulas. events: by simulating each tile. descriptors: exact "
    "cycles of the generated RTL, for a program with --hw rtl, rtl-wide or rtl-small.",
)
@click.option(
    "--weight-bits",
    type=click.Choice(["4", "8"]),
    default="8",
    show_default=True,
    help="Weight width of every linear layer, in bits.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Images at once. Weights are fetched once for all of them; their activations need room on the chip.",
)
@click.option(
    "--attention",
    type=click.Choice(choices(SimulateOptions, "attention")),
    default="log2",
    show_default=True,
    help="Attention probabilities: 4-bit log2 codes on the shifters, or 8-bit codes on the MACs.",
)
@click.option(
    "--inter-layer/--no-inter-layer",
    default=None,
    help="Inter-layer pipelining: overlap operations of different layers. Default: as the accelerator says.",
)
@click.option(
    "--intra-layer/--no-intra-layer",
    default=None,
    help="Intra-layer pipelining: overlap re-quantization with the products. Default: as the accelerator says.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one figure of the accelerator, e.g. chunks.mac_array.lines=40. Repeatable.",
)
@click.option("--trace", type=click.Path(path_type=Path), help="Write a Perfetto trace (JSON).")
@click.option("--report", type=click.Path(path_type=Path), help="Write a self-contained HTML report.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Write a chart of the latencies (SVG).",
)
@click.option("--overwrite", is_flag=True, help="Replace existing output.")
@common
def simulate(
    out: Output,
    models: tuple[str, ...],
    hardware: tuple[str, ...],
    weight_bits: str,
    plot: Path | None,
    **options: Any,
) -> int:
    """Model the cycles, energy, area and utilization of MODEL on an accelerator.

    MODEL is an architecture's name or a program's folder. Several models or accelerators give a table. Every figure is
    modelled, not measured. Exit status 1 if a model does not fit.
    """
    options["weight_bits"] = int(weight_bits)
    if len(models) * len(hardware) > 1 or plot:
        answer = run_simulations(models, hardware, plot=plot, **options)
        out.result(answer, table)
        return 0 if all(row["fits"] for row in answer["rows"]) else CHECK_FAILED
    answer = run_simulate(models[0], hardware[0], **options)
    out.result(answer, summary)
    return 0 if answer["fits"] else CHECK_FAILED


def summary(answer: dict[str, Any]) -> str:
    """Format the result of one simulation for the terminal."""
    how = f"{answer['method']}, table {answer['technology']}; modelled"
    batch = f", {answer['batch']} images" if answer["batch"] > 1 else ""
    head = f"{answer['model']}{batch} on {answer['hardware']} ({how})"
    if not answer["fits"]:
        reasons = [
            f"  does not fit: {item['statement']}:"
            f" needs {item['demand']:,.0f} {item['unit']}, has {item['bound']:,.0f}\n"
            + "\n".join(f"    would fit with: {lever}" for lever in item["levers"])
            for item in answer["infeasible"]
        ]
        return "\n".join([head, *reasons])
    of_what = " (an ASIC with these chunks, not the FPGA)" if answer["asic_only"] else ""
    each = f" ({answer['energy_mj'] / answer['batch']:.3f} per image)" if batch else ""
    lines = [
        head,
        f"  {answer['cycles']:,} cycles at {answer['clock_mhz']:g} MHz = {answer['latency_ms']:.3f} ms,"
        f" {answer['images_per_s']:.1f} images/s, {answer['gops']:,.0f} of {answer['peak_gops']:,.0f} GOPS",
        f"  MAC array utilization {answer['utilization']:.1%}",
        f"  {answer['energy_mj']:.3f} mJ{each}, {answer['power_mw']:.0f} mW, {answer['area_mm2']:.2f} mm²{of_what}",
    ]
    if answer["dsps"]:
        lines.append(
            f"  {answer['dsps']:.0f} DSPs ({answer['macs_per_dsp']:g} MACs packed per DSP):"
            f" {answer['gops_per_dsp']:.3f} GOPS/DSP at {answer['clock_mhz']:g} MHz"
        )
    lines += mapping(answer["layers"])
    busiest, share = answer["limiting"]["resource"], answer["limiting"]["busy"]
    lines.append(f"  limited by {busiest} (busy {share:.1%})")
    helpful = [lever for lever in answer["levers"][:3] if lever["gain"] >= 1.0005]
    lines += [f"    2 x {lever['name']}: {lever['gain']:.3f}x faster" for lever in helpful]
    if not helpful:
        lines.append("    doubling any single resource would not make it faster, or would not fit")
    return "\n".join(lines)


def mapping(layers: list[dict[str, Any]]) -> list[str]:
    """Return lines, weight tiles and the limiting resource for each kind of operation of the middle block."""
    blocks = sorted({layer["block"] for layer in layers if layer["block"] >= 0})
    middle = blocks[len(blocks) // 2] if blocks else -1
    alike: dict[tuple[int, str], list[str]] = {}
    for layer in layers:
        if layer["block"] == middle and layer["macs"]:
            tiles = f", {layer['weight_tiles']} weight tiles" if layer["weight_tiles"] > 1 else ""
            use = f"{layer['lines']} lines ({layer['utilization']:.1%} of the lanes){tiles}: {layer['limited_by']}"
            alike.setdefault((layer["lines"], use), []).append(layer["name"].split(".")[-1])
    return [f"  {', '.join(names)}: {use}" for (_, use), names in alike.items()]


def table(answer: dict[str, Any]) -> str:
    """Format one line for each model on each accelerator."""
    rows = answer["rows"]
    wide = max(len(row["model"]) for row in rows)
    across = max(len(row["hardware"]) for row in rows)
    lines = [
        f"{'model':{wide}}  {'hardware':{across}}  {'ms':>9}  images/s  MAC use        mJ    mm²  (modelled)"
    ]
    for row in rows:
        head = f"{row['model']:{wide}}  {row['hardware']:{across}}"
        if not row["fits"]:
            lines.append(f"{head}  does not fit: {row['misfit']}")
            continue
        mark = " *" if row["asic_only"] else ""
        lines.append(
            f"{head}  {row['latency_ms']:9.3f}  {row['images_per_s']:8.1f}  {row['utilization']:7.1%}"
            f"  {row['energy_mj']:8.3f}  {row['area_mm2']:5.2f}{mark}"
        )
    if any(row["asic_only"] for row in rows):
        lines.append("* energy and area of an ASIC with these chunks, not of the FPGA")
    return "\n".join(lines)
