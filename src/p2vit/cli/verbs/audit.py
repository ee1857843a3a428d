"""``p2vit audit``: the proof that a program is what is claimed of it."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common, program_argument
from p2vit.workflows.audit import run_audit


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    widest = sorted(result["layers"], key=lambda layer: -layer["accumulator_bits"])[:5]
    return "\n".join(
        [
            f"{'passed' if result['passed'] else 'FAILED'}: program_sha256 {result['program_sha256']}",
            "  operators             "
            + ", ".join(f"{count} {kind}" for kind, count in result["ops"].items()),
            f"  float operations      {result['float_ops']}",
            f"  scales that are no powers of two  {result['non_pot_scales']}",
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
    """Prove that OUT computes on integers only, scales by powers of two only, and never leaves int32.

    Accumulator ranges are proved from the actual weights for every photo there can be. Exit status 1 when
    anything does not hold.
    """
    result = run_audit(program)
    out.result(result, describe(result))
    return 0 if result["passed"] else CHECK_FAILED
