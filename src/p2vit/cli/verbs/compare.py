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
@click.option("--plot", type=click.Path(path_type=Path), help="Write a chart of the latencies (SVG).")
@overwrite_option
@common
def compare(
    out: Output, models: tuple[str, ...], hardware: tuple[str, ...], weight_bits: str, **options: Any
) -> int:
    """Compare modelled accelerators with published systems, and repeat the paper's pipelining ablation.

    Each row says whether it is published, modelled or measured, and names its source.
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
    sources = dict.fromkeys(row["source"] for row in rows)
    return "\n".join([*lines, "", *(f"source: {source}" for source in sources), "", *answer["notes"]])


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}{form}}"
