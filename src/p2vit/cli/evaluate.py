"""``p2vit eval``: accuracy of an integer program, beside that of its float model."""

import time
from pathlib import Path
from typing import Any

import click

from p2vit.cli.backends import open_backend
from p2vit.cli.common import (
    Output,
    backend_option,
    check_output,
    common,
    limit_option,
    overwrite_option,
    program_argument,
    strict_option,
    thread_count,
    threads_option,
    torch_threads,
    write_text,
)
from p2vit.cli.float_model import float_predict, has_torch, reload_float
from p2vit.cli.processes import together
from p2vit.cli.quantize import warn_skipped
from p2vit.errors import P2vitError

#: Classes that are shown on a terminal; a file has all.
SHOWN = 20


def run_eval(
    program: Path,
    data: str,
    *,
    model: str | None = None,
    arch: str | None = None,
    no_float: bool = False,
    labels: Path | None = None,
    class_index: Path | None = None,
    feature: bool = False,
    gallery: str | None = None,
    neighbours: int = 20,
    backend: str = "auto",
    limit: int | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    threads: int | None = None,
    strict: bool = False,
    csv: Path | None = None,
    per_class: Path | None = None,
    overwrite: bool = False,
    out: Output | None = None,
    world: Any = None,
) -> dict[str, Any]:
    """Measure a program on photos.

    Args:
        program: Its folder.
        data: A folder or a benchmark's name.
        model: Float model to compare with, instead of the one recorded.
        arch: Architecture of a weight file.
        no_float: Leave the float model out.
        labels: File with the photos' labels, instead of subfolders.
        class_index: File that says which output is which class.
        feature: Also judge features: cosine similarity, and k-NN accuracy where there is a gallery.
        gallery: Labelled photos that vote; a benchmark's own training half if not given.
        neighbours: So many of them vote.
        backend: Who runs the program.
        limit: At most so many photos.
        batch_size: Photos per batch.
        workers: Threads that read photos ahead; as many as threads if not given.
        threads: Bound.
        strict: Refuse photos that cannot be read.
        csv: File to append a row to.
        per_class: File for the table of classes.
        overwrite: Replace ``per_class``.
        out: Where notes and progress go.
        world: The processes of this run; this one alone if not given.

    Returns:
        The keys of ``p2vit eval --json``; the same figures in every process.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.data.class_index import read_class_index
    from p2vit.program.format import load, program_sha256
    from p2vit.report.accuracy import executor_predict
    from p2vit.report.eval_table import append_row, check_table, class_table, eval_row
    from p2vit.report.evaluation import Job, evaluate_photos
    from p2vit.report.features import open_gallery
    from p2vit.report.world import World

    world = world or World()
    first = world.rank == 0
    out = (out or Output(quiet=True)) if first else Output(quiet=True)
    if csv is not None and first:
        check_table(csv)
    if per_class is not None and first:
        check_output(per_class, overwrite)
    if gallery is not None and not feature:
        raise P2vitError("--gallery: only --feature asks a gallery; add --feature")
    loaded = load(program)
    index = None if class_index is None else read_class_index(class_index)
    photos = open_photos(data, loaded.preprocessing, strict=strict, labels=labels)
    if feature and gallery is None and hasattr(photos, "train"):
        gallery = data
    voters = open_gallery(gallery, data, loaded.preprocessing) if gallery is not None else None
    notes, exact, source = [], None, None
    if not no_float and not has_torch():
        notes.append("torch is not installed, so the float model cannot run: pip install 'p2vit[quant]'")
    elif not no_float:
        reference = reload_float(loaded, model, arch)
        exact, source = float_predict(reference), reference.source
    used = threads or max(1, thread_count(None) // world.local_size)
    name, executor = open_backend(backend, loaded, used)
    start = time.perf_counter()
    with out.progress() as progress:
        job = Job(
            program=loaded,
            predict=executor_predict(loaded, executor),
            exact=exact,
            batch_size=batch_size,
            workers=used if workers is None else workers,
            threads=used,
            prepare=lambda: torch_threads(1),
            world=world,
            progress=progress,
        )
        found, figures, skipped = evaluate_photos(
            job, photos, limit=limit, index=index, feature=feature, gallery=voters, k=neighbours
        )
    seconds = time.perf_counter() - start
    result = found.model_dump()
    result["notes"] = notes + result["notes"]
    result |= {
        "feature": None if figures is None else figures.model_dump(),
        "data": data,
        "model": source,
        "backend": name,
        "threads": used,
        "processes": world.size,
        "program": str(program),
        "program_sha256": program_sha256(loaded),
        "evaluation_seconds": round(seconds, 2),
        "skipped": [{"file": file, "reason": reason} for _, file, reason in skipped],
    }
    if csv is not None and first:
        append_row(csv, eval_row(loaded, result))
    if per_class is not None and first:
        write_text(per_class, class_table(result["per_class"]))
    return result


def describe(result: dict[str, Any]) -> str:
    """The result for people."""

    def show(value: float | None, unit: str = "%") -> str:
        return "-" if value is None else f"{value:.2f} {unit}"

    rate = result["images"] / max(result["evaluation_seconds"], 0.01)
    lines = [
        f"{result['program']} on {result['images']} photos of {result['data']} "
        f"({result['backend']}, {result['evaluation_seconds']:.1f} s, {rate:.1f} photos/s)",
        f"  top-1      {show(result['top1']):>10}   float {show(result['top1_float'])}",
        f"  top-5      {show(result['top5']):>10}   float {show(result['top5_float'])}",
        f"  agreement  {show(result['agreement']):>10}",
        f"  SQNR       {show(result['sqnr_db'], 'dB'):>10}",
    ]
    if feature := result["feature"]:
        cosine = "-" if feature["cosine_mean"] is None else f"{feature['cosine_mean']:.6f}"
        lines.append(f"  cosine     {cosine:>10}")
        if feature["gallery"]:
            lines.append(
                f"  k-NN       {show(feature['knn_top1']):>10}   float {show(feature['knn_top1_float'])}   "
                f"agreement {show(feature['knn_agreement'])}   "
                f"(k = {feature['k']}, {feature['gallery_images']} photos of {feature['gallery']})"
            )
    for row in result["per_class"][:SHOWN]:
        lines.append(
            f"  {row['name']:<20} {row['images']:>6} photos  {row['top1']:6.2f} %   float {show(row['top1_float'])}"
        )
    if (more := len(result["per_class"]) - SHOWN) > 0:
        lines.append(f"  and {more} more classes: --per-class FILE writes them all")
    if result["confusion"] is None:
        for pair in result["most_confused"][:5]:
            lines.append(f"  {pair['true']} taken for {pair['predicted']}: {pair['images']} photos")
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])


@click.command("eval")
@program_argument
@click.option(
    "--data", required=True, metavar="DIR", help="Photos: a folder, or elpv, textile, digits, noise."
)
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Labels of DIR's photos: rows file,label; a ground-truth list. Default: one subfolder per class.",
)
@click.option(
    "--class-index",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Which output is which class: JSON or text as timm and torchvision use, or the devkit's meta.mat.",
)
@click.option("--model", help="Float model to compare with. Default: the one that was quantized.")
@click.option("--arch", help="Architecture of a weight file.")
@click.option("--no-float", is_flag=True, help="Do not run the float model.")
@click.option(
    "--feature", is_flag=True, help="Also judge the feature: cosine similarity, and k-NN with a gallery."
)
@click.option(
    "--gallery",
    metavar="DIR",
    help="With --feature: labelled photos that vote. Default: a benchmark's training half.",
)
@click.option(
    "--neighbours",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="With --gallery: so many vote.",
)
@click.option(
    "--batch-size", "--batch", default=8, show_default=True, type=click.IntRange(1), help="Photos per batch."
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    help="Threads that read photos ahead; 0 for none. Default: as many as --threads.",
)
@click.option(
    "--csv", metavar="FILE", type=click.Path(path_type=Path), help="Append one row with every figure to FILE."
)
@click.option(
    "--per-class", metavar="FILE", type=click.Path(path_type=Path), help="Write the table of classes as CSV."
)
@backend_option
@limit_option
@strict_option
@overwrite_option
@threads_option
@common
def evaluate(out: Output, program: Path, data: str, **options: Any) -> None:
    """Measure the program OUT on photos: top-1, top-5, agreement with the float model, SQNR.

    A benchmark is measured on its held-out half, which calibration never sees. Percentages are 0 to 100.

    Several processes or machines share the photos, with the same figures:
    torchrun --nproc-per-node 2 -m p2vit eval OUT --data DIR
    """
    with together() as world:
        result = run_eval(program, data, out=out, world=world, **options)
    if world.rank == 0:
        warn_skipped(out, result)
        out.result(result, describe(result))
