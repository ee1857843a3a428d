"""``p2vit compare``: compare modelled accelerators with published systems."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, overwrite_option
from p2vit.workflows.compare import known_machines, run_compare


@click.command("compare")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--hw",
    "hardware",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(known_machines())} or a YAML file. Repeatable. Default: paper, server, fpga.",
)
@click.option(
    "--weight-bits",
    type=click.Choice(["4", "8"]),
    default="8",
    show_default=True,
    help="Weight width of the modelled accelerators.",
)
@click.option(
    "--gpu", type=click.Path(path_type=Path), help="Measured GPU figures, a file of scripts/measure_gpu.py."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Write a chart of the latencies and of the peers' utilization (SVG).",
)
@overwrite_option
@common
def compare(
    out: Output, models: tuple[str, ...], hardware: tuple[str, ...], weight_bits: str, **options: Any
) -> int:
    """Compare modelled accelerators with published systems, and repeat the paper's comparisons.

    Each row says whether it is published, modelled or measured, and names its source. Further tables show published
    organisations at equal size, what the paper's claims would need, and its pipelining ablation.
    """
    answer = run_compare(models, hardware, weight_bits=int(weight_bits), **options)
    out.result(answer, describe)
    return 0


def describe(answer: dict[str, Any]) -> str:
    """Format the table, the ablation and the notes for the terminal."""
    rows = answer["rows"]
    wide = max(len(row["system"]) for row in rows)
    model = ""
    lines: list[str] = []
    for row in rows:
        if row["model"] != model:
            model = row["model"]
            head = f"{'system':{wide}}  kind       batch        ms  images/s   mJ/image  GOPS/DSP   ratio"
            lines += [*([""] if lines else []), model, head]
        cells = (
            _cell(row["batch"], 5, "d"), _cell(row["latency_ms"], 9, ".3f"),
            _cell(row["images_per_second"], 8, ".1f"), _cell(row["energy_mj"], 9, ".2f"),
            _cell(row["gops_per_dsp"], 8, ".3f"), _cell(row["ratio"], 6, ".2f"),
        )  # fmt: skip
        lines.append(f"{row['system']:{wide}}  {row['kind']:9}  " + "  ".join(cells))
    if answer["ablation"]:
        lines += [
            "",
            f"pipelining ablation on {answer['ablation_on']}: latency over that with both (the paper's)",
        ]
        for row in answer["ablation"]:
            switches = f"inter {_on(row['inter_layer'])}, intra {_on(row['intra_layer'])}"
            lines.append(f"  {row['model']:24}  {switches:22}  {row['overall']:.2f} ({row['paper'][2]:.2f})")
    lines += _peers(answer["peers"]) + _claims(answer["gpu_claims"], answer["utilization_claims"])
    sources = dict.fromkeys(row["source"] for row in (*rows, *answer["peers"], *answer["utilization_claims"]))
    return "\n".join([*lines, "", *(f"source: {source}" for source in sources), "", *answer["notes"]])


def _peers(rows: list[dict[str, Any]]) -> list[str]:
    """Format the organisations at equal size, one block per model."""
    lines: list[str] = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        size = own[0]
        lines += [
            "",
            f"organisations on {model}, each with {size['multipliers']:,} multipliers at {size['clock_mhz']:g} MHz and "
            f"{size['dram_gbytes_per_s']:g} GB/s (modelled)",
            f"  {'':20}  images/s   speed  utilization %  GOPS/DSP  published GOPS/DSP",
        ]
        for row in own:
            share = None if row["utilization"] is None else 100 * row["utilization"]
            cells = (
                _cell(row["images_per_second"], 8, ".1f"), _cell(row["speed"], 6, ".2f"), _cell(share, 13, ".1f"),
                _cell(row["gops_per_dsp"], 8, ".3f"), _cell(row["published_gops_per_dsp"], 18, ".3f"),
            )  # fmt: skip
            lines.append(f"  {row['system']:20}  " + "  ".join(cells))
    return lines


def _claims(gpu: list[dict[str, Any]], utilization: list[dict[str, Any]]) -> list[str]:
    """Format what the paper's claims would need and what they can be against."""
    lines: list[str] = []
    if gpu:
        lines += [
            "",
            "what 10.1x speed and 36.8x energy over a GPU would need, and what the modelled machines give",
        ]
    for key in dict.fromkeys((row["gpu"], row["model"], row["batch"]) for row in gpu):
        own = [row for row in gpu if (row["gpu"], row["model"], row["batch"]) == key]
        first = own[0]
        given = ", ".join(
            f"{row['machine']} {_times(row['gives_speedup'])} speed {_times(row['gives_energy_saving'])} energy"
            for row in own
        )
        lines.append(
            f"  {first['model']}, batch {first['batch']}: {first['needed_ms']:.3f} ms "
            f"({first['needed_tops']:.0f} TOPS), {first['needed_mj']:.2f} mJ; {given}"
        )
    if utilization:
        lines += [
            "",
            "GOPS per DSP of the paper over those of others, from one table each (modelled at equal size)",
        ]
    for row in utilization:
        lines.append(
            f"  {row['model']:24}  {row['against']:36}  {row['published_ratio']:.2f} "
            f"({'-' if row['modelled_ratio'] is None else format(row['modelled_ratio'], '.2f')})  {row['source']}"
        )
    return lines


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}{form}}"
