"""``p2vit doctor``: show what is installed and what is missing, and test every back-end."""

from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common
from p2vit.workflows.doctor import PACKAGES, TOOLS, run_doctor


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    sets = ", ".join(result["instruction_sets"]) or "no vector instructions that p2vit uses"
    lines = [
        f"p2vit {result['p2vit']}, Python {result['python']}, {result['system']}",
        f"{result['processor']}, {result['cpus']} CPUs, {sets}",
        "Back-ends:",
    ]
    for row in result["backends"]:
        state = (
            "equal to the reference" if row["identical"] else "WRONG" if row["available"] else "not available"
        )
        lines.append(f"  {row['name']:<20} {state}{': ' + row['reason'] if row['reason'] else ''}")
    lines.append("Packages:")
    lines += [
        f"  {name:<20} {version or '-':<14} {PACKAGES[name]}" for name, version in result["packages"].items()
    ]
    lines.append("Tools:")
    lines += [f"  {name:<20} {path or '-':<14} {TOOLS[name]}" for name, path in result["tools"].items()]
    return "\n".join(lines)


@click.command("doctor")
@common
def doctor(out: Output) -> int:
    """Show what is installed and what is missing, and test every back-end on a tiny program.

    Exit status 1 if an installed back-end returns other integers than the reference.
    """
    result = run_doctor()
    out.result(result, describe(result))
    return 0 if result["passed"] else CHECK_FAILED
