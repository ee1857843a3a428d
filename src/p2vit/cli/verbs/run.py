"""``p2vit run``: classify photos."""

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
    warn_skipped,
)
from p2vit.cli.shared.photo_options import class_index_option, class_names_option, max_pixels_option
from p2vit.workflows.run import run_photos


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
    lines = []
    exponent = result["logit_exponent"]
    for row in result["outputs"]:
        if result["output_is"] == "feature":
            told = f"a feature of {len(row['logits'])} numbers"
        elif result["output_is"] == "number":
            value = "" if exponent is None else f"{row['logits'][0] * 2.0**exponent:g} = "
            told = f"{value}{row['logits'][0]} × 2^{exponent}"
        else:
            best = sorted(row["logits"], reverse=True)
            told = f"{row['label']}  (logit {best[0]}, ahead by {best[0] - best[1]})"
        lines.append(f"{row['file']}: {told}")
    if result["output_is"] == "feature":
        lines.append("The program has no classification head; --json prints the features.")
    elif result["output_is"] == "number":
        lines.append(
            "The program has one output: the value of a regression, or the logit of a binary classifier "
            "(positive above 0)."
        )
    return "\n".join(lines)


@click.command("run")
@program_argument
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@class_names_option
@class_index_option
@backend_option
@strict_option
@max_pixels_option
@threads_option
@common
def run(out: Output, program: Path, photos: tuple[Path, ...], **options: Any) -> None:
    """Classify photos with program OUT. PHOTO is a file or a folder. Torch is not needed.

    Logits are integers. Multiply them by 2^logit_exponent to get real values.
    """
    result = run_photos(program, photos, out=out, **options)
    warn_skipped(out, result)
    out.result(result, describe)
