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
from p2vit.cli.shared.photo_options import class_index_option, class_names_option, max_pixels_option
from p2vit.cli.verbs.quantize import warn_skipped
from p2vit.workflows.run import run_photos


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
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
        lines.append("The program has no head, so it names no class; --json prints the features.")
    elif result["output_is"] == "number":
        lines.append(
            "The program has one output: the value of a regression, or the logit of a classifier of two classes, "
            "which says yes above 0."
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
    """Classify photos (files, or folders of them) with the program OUT. Torch is not needed.

    Logits are the program's own integers; 2^logit_exponent times them is what they stand for.
    """
    result = run_photos(program, photos, out=out, **options)
    warn_skipped(out, result)
    out.result(result, describe)
