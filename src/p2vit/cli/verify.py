"""``p2vit verify``: the same integers from every back-end, tensor by tensor."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.backends import open_backend
from p2vit.cli.common import (
    CHECK_FAILED,
    Output,
    common,
    program_argument,
    thread_count,
    threads_option,
    torch_threads,
)
from p2vit.errors import P2vitError


def run_verify(
    program: Path,
    *,
    backends: str = "reference,torch",
    images: int = 8,
    data: str = "noise",
    batch: int = 2,
    threads: int | None = None,
    out: Output | None = None,
) -> dict[str, Any]:
    """Compare back-ends.

    Args:
        program: Its folder.
        backends: Names, separated by commas; the first is what the others are compared with.
        images: Photos.
        data: A folder or a benchmark's name.
        batch: Photos per batch.
        threads: Bound.
        out: Where progress goes.

    Returns:
        The keys of ``p2vit verify --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.program.format import load, program_sha256
    from p2vit.report.comparison import compare

    out = out or Output(quiet=True)
    names = list(dict.fromkeys(name.strip() for name in backends.split(",") if name.strip()))
    if len(names) < 2:
        raise P2vitError(
            f"--backends {backends!r}: at least two different ones are needed, separated by commas, "
            "e.g. reference,torch"
        )
    loaded = load(program)
    photos = open_photos(data, loaded.preprocessing)
    executors = {}
    for name in names:
        resolved, executor = open_backend(name, loaded, threads)
        executors[resolved] = executor
    if len(executors) < 2:
        raise P2vitError(
            f"--backends {backends!r}: these are one back-end, {next(iter(executors))}; name another"
        )
    torch_threads(thread_count(threads))
    with out.progress() as progress:
        found = compare(
            loaded,
            executors,
            (pixels for pixels, _ in photos.evaluation(images, batch)),
            total=min(images, len(photos)),
            progress=progress,
        )
    return {
        **found.model_dump(),
        "data": data,
        "program": str(program),
        "program_sha256": program_sha256(loaded),
    }


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    first, *others = result["backends"]
    verdict = "identical" if not result["mismatches"] else f"{result['mismatches']} TENSORS DIFFER"
    lines = [
        f"{verdict}: {', '.join(others)} against {first}, {result['images']} photos, "
        f"{result['tensors_compared']} tensors, {result['values_compared']:,} numbers"
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
    help="native, torch, reference, onnx; all are compared with the first.",
)
@click.option("--images", default=8, show_default=True, type=click.IntRange(1), help="Photos.")
@click.option(
    "--data", default="noise", show_default=True, metavar="DIR", help="Photos: a folder or a benchmark."
)
@click.option("--batch", default=2, show_default=True, type=click.IntRange(1), help="Photos per batch.")
@threads_option
@common
def verify(out: Output, program: Path, **options: Any) -> int:
    """Run OUT on several back-ends and compare every tensor that they expose, number by number.

    Exit status 1 when one number differs; the first one of each tensor is shown.
    """
    result = run_verify(program, out=out, **options)
    out.result(result, describe(result))
    return CHECK_FAILED if result["mismatches"] else 0
