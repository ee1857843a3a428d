"""``p2vit synth``: cells, area and delay of the hardware modules, and an energy and area table from them."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, overwrite_option
from p2vit.workflows.synth import run_synth


@click.command("synth")
@click.option(
    "-o", "--out", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Results."
)
@click.option(
    "--liberty",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Standard-cell library. Default: Debian's osu018 if installed, else generic gates.",
)
@click.option("--design", "designs", multiple=True, metavar="NAME", help="Only this design; may be repeated.")
@click.option("--ecp5", is_flag=True, help="Place and route on a Lattice ECP5 too.")
@click.option(
    "--base", default="horowitz45", show_default=True, help="Table for SRAM, DRAM and float32 energies."
)
@click.option("--node-nm", type=click.FloatRange(1), help="Node of the library. Default: 180 for osu018.")
@overwrite_option
@common
def synth(out: Output, folder: Path, **options: Any) -> int:
    """Synthesise the hardware modules: cells, area, delay; and an energy and area table for the simulator.

    Everything is before layout: no wires, no clock tree.
    """
    result = run_synth(folder, out=out, **options)
    lines = [(folder / "synthesis.md").read_text(encoding="utf-8")]
    if result["technology"]:
        lines.append(
            f"energy and area table: {result['technology']} (`technology:` of a machine description)"
        )
    out.result(result, "\n".join(lines))
    return 0
