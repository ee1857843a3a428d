"""``p2vit run``: labels and logits of photos."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    Output,
    backend_option,
    common,
    program_argument,
    strict_option,
    threads_option,
)
from p2vit.cli.verbs.quantize import warn_skipped
from p2vit.workflows.run import run_photos


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = []
    for row in result["outputs"]:
        best = sorted(row["logits"], reverse=True)
        margin = f"  ahead by {best[0] - best[1]}" if len(best) > 1 else ""
        lines.append(f"{row['file']}: {row['label']}  (logit {best[0]}{margin})")
    return "\n".join(lines)


@click.command("run")
@program_argument
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@backend_option
@strict_option
@threads_option
@common
def run(out: Output, program: Path, photos: tuple[Path, ...], **options: Any) -> None:
    """Classify photos (files, or folders of them) with the program OUT. Torch is not needed.

    Logits are the program's own integers; 2^logit_exponent times them is what they stand for.
    """
    result = run_photos(program, photos, out=out, **options)
    warn_skipped(out, result)
    out.result(result, describe(result))
