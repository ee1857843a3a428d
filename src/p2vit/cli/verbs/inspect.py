"""``p2vit inspect``: show what a program contains."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, program_argument
from p2vit.cli.verbs.quantize import output_lines
from p2vit.workflows.inspect import run_inspect


def describe(result: dict[str, Any], full: bool = False) -> str:
    """Format the result as text for the terminal.

    Args:
        result: The result of `run_inspect`.
        full: Include every node, not only those with weights.
    """
    source = result["provenance"].get("source", "unknown")
    pre = result["preprocessing"]
    lines = [
        f"{result['program']}: from {source}, {len(result['layers'])} nodes, {result['classes']} named classes",
        f"  photos        {pre['image_size'][0]} x {pre['image_size'][1]}, {pre['resize']}, {pre['interpolation']}",
        f"  weights       {result['weight_bytes'] / 1e6:.3f} MB of {result['parameter_bytes'] / 1e6:.3f} MB parameters",
        f"  activations   {result['peak_activation_bytes'] / 1e6:.3f} MB at the peak",
        f"  work          {result['macs'] / 1e9:.3f} GMAC per photo",
        f"  sha256        {result['program_sha256']}",
        *output_lines(result["outputs"]),
        f"{'node':<26}{'operator':<18}{'shape':<18}{'width':<7}{'2^e':<10}{'weights':<20}{'bytes':>9}",
    ]
    for layer in result["layers"]:
        if not (full or layer["weight_shape"]):
            continue
        low, high = layer["exponent_low"], layer["exponent_high"]
        weights = f"{layer['weight_shape']} int{layer['weight_bits']}" if layer["weight_shape"] else ""
        exponent = str(low) if low == high else f"{low}..{high}"
        shape = " x ".join(map(str, layer["shape"]))
        lines.append(
            f"{layer['name']:<26}{layer['kind']:<18}{shape:<18}{layer['width']:<7}{exponent:<10}"
            f"{weights:<20}{layer['parameter_bytes']:>9}"
        )
    return "\n".join(lines)


@click.command("inspect")
@program_argument
@click.option("--all", "full", is_flag=True, help="Show every node, not only those with weights.")
@common
def inspect(out: Output, program: Path, full: bool) -> None:
    """Show what program OUT contains: layers, shapes, widths, scale exponents, sizes, and its origin."""
    result = run_inspect(program)
    out.result(result, describe(result, full))
