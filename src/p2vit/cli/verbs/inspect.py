"""``p2vit inspect``: show what a program contains, and where it parts from its float model."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common, program_argument, threads_option
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.cli.verbs.quantize import output_lines
from p2vit.workflows.inspect import PARTED_DB, run_inspect


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


def describe_errors(result: dict[str, Any]) -> str:
    """Format the errors as text for the terminal."""
    errors = result["errors"]
    lines = [
        f"{result['program']} against {errors['model']} on {errors['photo']}",
        "  SQNR: errors of all steps so far; own: error of this step alone; beyond: values outside the grid",
        f"{'tensor':<26}{'operator':<17}{'SQNR dB':>9}{'own dB':>9}{'beyond %':>10}  largest difference",
    ]
    for site in errors["sites"]:
        total, own = (
            "equal" if site[key] is None else f"{site[key]:.2f}" for key in ("sqnr_db", "own_sqnr_db")
        )
        beyond = "" if not site["beyond_grid"] else f"{site['beyond_grid']:.3f}"
        lines.append(
            f"{site['name']:<26}{site['operator']:<17}{total:>9}{own:>9}{beyond:>10}  {worst_words(site['worst'])}"
        )
    first = next((site for site in errors["sites"] if site["name"] == errors["first"]), None)
    if first is None:
        lines.append(f"no tensor is below {errors['below_db']:g} dB")
    else:
        lines.append(
            f"first below {errors['below_db']:g} dB: {first['name']}, {first['sqnr_db']:.2f} dB; "
            f"{worst_words(first['worst'])}"
        )
    return "\n".join(lines)


def worst_words(worst: dict[str, Any]) -> str:
    """Say where the largest difference is, and which values program and float model have there."""
    program, exact = (
        "not finite" if worst[key] is None else f"{worst[key]:.4g}" for key in ("program", "float")
    )
    return f"at {worst['index']}: program {program}, float {exact}"


@click.command("inspect")
@program_argument
@click.option("--all", "full", is_flag=True, help="Show every node, not only those with weights.")
@click.option(
    "--errors",
    "photo",
    type=click.Path(path_type=Path),
    metavar="PHOTO",
    help="Compare every tensor with the float model on this photo.",
)
@click.option(
    "--below",
    default=PARTED_DB,
    show_default=True,
    type=click.FloatRange(-200, 400),
    metavar="DB",
    help="With --errors: name the first tensor whose SQNR is below DB.",
)
@click.option("--model", metavar="MODEL", help="With --errors: float model, if the program does not name it.")
@max_pixels_option
@threads_option
@common
def inspect(
    out: Output, program: Path, full: bool, photo: Path | None, threads: int | None, **options: Any
) -> None:
    """Show what program OUT contains: layers, shapes, widths, scale exponents, sizes, and its origin.

    With --errors, show how far each tensor is from the float model on a photo, and the first tensor that is far off.
    """
    result = run_inspect(program, photo, threads=threads, **options)
    out.result(result, describe(result, full) if photo is None else describe_errors)
