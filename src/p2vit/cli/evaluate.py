"""``p2vit eval``: accuracy of an integer program, beside that of its float model."""

import time
from pathlib import Path
from typing import Any

import click

from p2vit.cli.backends import open_backend
from p2vit.cli.common import (
    Output,
    backend_option,
    common,
    limit_option,
    program_argument,
    strict_option,
    thread_count,
    threads_option,
    torch_threads,
)
from p2vit.cli.float_model import float_predict, has_torch, reload_float
from p2vit.cli.quantize import skipped, warn_skipped


def run_eval(
    program: Path,
    data: str,
    *,
    model: str | None = None,
    arch: str | None = None,
    no_float: bool = False,
    backend: str = "auto",
    limit: int | None = None,
    batch: int = 8,
    workers: int | None = None,
    threads: int | None = None,
    strict: bool = False,
    out: Output | None = None,
) -> dict[str, Any]:
    """Measure a program on photos.

    Args:
        program: Its folder.
        data: A folder or a benchmark's name.
        model: Float model to compare with, instead of the one recorded.
        arch: Architecture of a weight file.
        no_float: Leave the float model out.
        backend: Who runs the program.
        limit: At most so many photos.
        batch: Photos per batch.
        workers: Batches side by side; as many as threads if not given.
        threads: Bound.
        strict: Refuse photos that cannot be read.
        out: Where notes and progress go.

    Returns:
        The keys of ``p2vit eval --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.program.format import load, program_sha256
    from p2vit.report.accuracy import executor_predict, measure

    out = out or Output(quiet=True)
    loaded = load(program)
    photos = open_photos(data, loaded.preprocessing, strict=strict)
    notes, exact, source = [], None, None
    if not no_float and not has_torch():
        notes.append("torch is not installed, so the float model cannot run: pip install 'p2vit[quant]'")
    elif not no_float:
        reference = reload_float(loaded, model, arch)
        exact, source = float_predict(reference), reference.source
    used = thread_count(threads)
    workers = min(workers or used, used)
    each = used // workers
    name, executor = open_backend(backend, loaded, used)
    has_head = loaded.output != loaded.feature
    start = time.perf_counter()
    with out.progress() as progress:
        found = measure(
            executor_predict(loaded, executor),
            exact,
            photos.evaluation(limit, batch),
            total=min(len(photos), limit or len(photos)),
            photo_classes=photos.classes,
            model_classes=loaded.classes,
            outputs=loaded.tensors[loaded.output].shape[-1] if has_head else 0,
            workers=workers,
            prepare=lambda: torch_threads(each),
            progress=progress,
        )
    seconds = time.perf_counter() - start
    result = found.model_dump()
    result["notes"] = notes + result["notes"]
    return {
        **result,
        "data": data,
        "model": source,
        "backend": name,
        "threads": used,
        "program": str(program),
        "program_sha256": program_sha256(loaded),
        "evaluation_seconds": round(seconds, 2),
        "skipped": skipped(photos),
    }


def describe(result: dict[str, Any]) -> str:
    """The result for people."""

    def show(value: float | None, unit: str = "%") -> str:
        return "-" if value is None else f"{value:.2f} {unit}"

    lines = [
        f"{result['program']} on {result['images']} photos of {result['data']} "
        f"({result['backend']}, {result['evaluation_seconds']:.1f} s)",
        f"  top-1      {show(result['top1']):>10}   float {show(result['top1_float'])}",
        f"  top-5      {show(result['top5']):>10}   float {show(result['top5_float'])}",
        f"  agreement  {show(result['agreement']):>10}",
        f"  SQNR       {show(result['sqnr_db'], 'dB'):>10}",
    ]
    for row in result["per_class"][:20]:
        lines.append(
            f"  {row['name']:<20} {row['images']:>6} photos  {row['top1']:6.2f} %   float {show(row['top1_float'])}"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])


@click.command("eval")
@program_argument
@click.option(
    "--data", required=True, metavar="DIR", help="Photos: a folder, or elpv, textile, digits, noise."
)
@click.option("--model", help="Float model to compare with. Default: the one that was quantized.")
@click.option("--arch", help="Architecture of a weight file.")
@click.option("--no-float", is_flag=True, help="Do not run the float model.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Photos per batch.")
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Batches that run side by side. Default: one per thread."
)
@backend_option
@limit_option
@strict_option
@threads_option
@common
def evaluate(out: Output, program: Path, data: str, **options: Any) -> None:
    """Measure the program OUT on photos: top-1, top-5, agreement with the float model, SQNR.

    A benchmark is measured on its held-out half, which calibration never sees. Percentages are 0 to 100.
    """
    result = run_eval(program, data, out=out, **options)
    warn_skipped(out, result)
    out.result(result, describe(result))
