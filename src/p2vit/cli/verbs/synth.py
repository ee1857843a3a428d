"""``p2vit synth``: synthesize the hardware modules, and make an energy and area table from the results."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, overwrite_option
from p2vit.workflows.synth import run_synth


@click.command("synth")
@click.option(
    "-o",
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the results.",
)
@click.option(
    "--liberty",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Standard-cell library (Liberty). Default: Debian's osu018 if installed, else generic gates.",
)
@click.option(
    "--design", "designs", multiple=True, metavar="NAME", help="Synthesize only this design. Repeatable."
)
@click.option("--ecp5", is_flag=True, help="Also place and route for a Lattice ECP5 FPGA.")
@click.option(
    "--base", default="horowitz45", show_default=True, help="Energy table for SRAM, DRAM and float32."
)
@click.option(
    "--node-nm", type=click.FloatRange(1), help="Process node of the library in nm. Default: 180 for osu018."
)
@overwrite_option
@common
def synth(out: Output, folder: Path, **options: Any) -> int:
    """Synthesize the hardware modules: cells, area and delay, and an energy and area table for the simulator.

    All figures are from before layout: they include no wires and no clock tree.
    """
    result = run_synth(folder, out=out, **options)
    lines = [(folder / "synthesis.md").read_text(encoding="utf-8")]
    if result["technology"]:
        lines.append(
            f"energy and area table: {result['technology']} (`technology:` of a machine description)"
        )
    out.result(result, "\n".join(lines))
    return 0
