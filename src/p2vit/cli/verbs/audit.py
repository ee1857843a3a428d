"""``p2vit audit``: prove that a program uses integers and power-of-two scales only, and stays within int32."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common, program_argument
from p2vit.workflows.audit import run_audit


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    widest = sorted(result["layers"], key=lambda layer: -layer["accumulator_bits"])[:5]
    return "\n".join(
        [
            f"{'passed' if result['passed'] else 'FAILED'}: program_sha256 {result['program_sha256']}",
            "  operators             "
            + ", ".join(f"{count} {kind}" for kind, count in result["ops"].items()),
            f"  float operations      {result['float_ops']}",
            f"  scales that are not powers of two  {result['non_pot_scales']}",
            f"  widest accumulator    {result['max_accumulator_bits']} bits of 32",
            f"  widest register       {result['max_register_bits']} bits of 32",
            f"  widest numerator      {result['max_wide_register_bits']} bits of 64",
            *(
                f"    {layer['name']:<28} {layer['accumulator_bits']} bits: "
                f"{layer['accumulator_low']} .. {layer['accumulator_high']}"
                for layer in widest
            ),
            *(f"  problem: {problem}" for problem in result["problems"]),
        ]
    )


@click.command("audit")
@program_argument
@common
def audit(out: Output, program: Path) -> int:
    """Prove that program OUT uses integers only, scales by powers of two only, and never overflows int32.

    The accumulator ranges follow from the actual weights, so they hold for every possible photo. Exit status 1 if
    the proof fails.
    """
    result = run_audit(program)
    out.result(result, describe(result))
    return 0 if result["passed"] else CHECK_FAILED
