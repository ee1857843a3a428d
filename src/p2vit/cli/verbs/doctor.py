"""``p2vit doctor``: what this machine has, what is missing, and whether what is there computes rightly."""

from typing import Any

import click

from p2vit.cli.shared.common import CHECK_FAILED, Output, common
from p2vit.workflows.doctor import PACKAGES, TOOLS, run_doctor


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    sets = ", ".join(result["instruction_sets"]) or "none that matter here"
    lines = [
        f"p2vit {result['p2vit']}, Python {result['python']}, {result['system']}",
        f"{result['processor']}, {result['cpus']} CPUs, {sets}",
        "Back-ends:",
    ]
    for row in result["backends"]:
        state = (
            "identical to the reference" if row["identical"] else "WRONG" if row["available"] else "not here"
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
    """Show what this machine has and what is missing; run a tiny program on every back-end.

    Exit status 1 when a back-end that is installed gives other integers than the reference.
    """
    result = run_doctor()
    out.result(result, describe(result))
    return 0 if result["passed"] else CHECK_FAILED
