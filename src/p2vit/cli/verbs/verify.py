"""``p2vit verify``: compare every tensor of a program between back-ends."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    CHECK_FAILED,
    Output,
    common,
    device_option,
    program_argument,
    threads_option,
)
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.workflows.verify import run_verify


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    first, *others = result["backends"]
    verdict = "identical" if not result["mismatches"] else f"{result['mismatches']} TENSORS DIFFER"
    lines = [
        f"{verdict}: {', '.join(others)} against {first}, {result['images']} photos, "
        f"{result['tensors_compared']} tensors, {result['values_compared']:,} numbers"
        + (f", {result['subsets_compared']} random sets of them" if result["subsets_compared"] else "")
    ]
    for row in result["first_mismatches"][:20]:
        lines.append(
            f"  {row['tensor']} ({row['backend']}): at {row['index']} {row['actual']}, "
            f"expected {row['expected']}; {row['differing']} numbers differ"
        )
    return "\n".join(lines)


@click.command("verify")
@program_argument
@click.option(
    "--backends",
    default="reference,torch",
    show_default=True,
    metavar="A,B,...",
    help="Back-ends: native, torch, reference, onnx. Each is compared with the first one.",
)
@click.option("--images", default=8, show_default=True, type=click.IntRange(1), help="Number of photos.")
@click.option(
    "--data", default="noise", show_default=True, metavar="DIR", help="Photos: a folder or a benchmark."
)
@click.option("--batch", default=2, show_default=True, type=click.IntRange(1), help="Photos per batch.")
@device_option
@threads_option
@max_pixels_option
@common
def verify(out: Output, program: Path, **options: Any) -> int:
    """Run program OUT on several back-ends and compare every tensor that they expose.

    Exit status 1 if a number differs. The first difference of each tensor is shown.
    """
    result = run_verify(program, out=out, **options)
    out.result(result, describe)
    return CHECK_FAILED if result["mismatches"] else 0
