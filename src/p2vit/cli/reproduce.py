"""``p2vit reproduce``: published ImageNet figures beside what this machine measures."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.common import (
    CHECK_FAILED,
    Output,
    backend_option,
    common,
    limit_option,
    seed_option,
    threads_option,
)
from p2vit.cli.evaluate import run_eval
from p2vit.cli.quantize import choose_config, run_quantize
from p2vit.errors import DataError, P2vitError

NEEDED = """Nothing is measured without ImageNet-1k, which nobody may hand on. With it:

  p2vit reproduce --data imagenet/val --calib-data imagenet/train

--data        the 50,000 validation photos: one subfolder per wnid, or a flat folder with --labels
--calib-data  other photos to calibrate on, such as the training set or a few hundred photos of it
weights       timm downloads them; offline, --weights DIR with NAME.safetensors or NAME.pth for each timm NAME"""


def run_reproduce(
    data: Path | None = None,
    *,
    calib_data: Path | None = None,
    models: tuple[str, ...] = (),
    bits: tuple[str, ...] = ("w8a8", "w4a8"),
    method: str = "p2vit",
    calib_images: int = 32,
    weights: Path | None = None,
    labels: Path | None = None,
    class_index: Path | None = None,
    output: Path = Path("out/reproduce"),
    backend: str = "auto",
    limit: int | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    out: Output | None = None,
) -> dict[str, Any]:
    """Measure published models on ImageNet, and put the figures beside the published ones.

    Args:
        data: ImageNet's validation photos; without them nothing is measured.
        calib_data: Other photos, to calibrate on.
        models: Patterns of models; all published ones if empty.
        bits: ``w8a8`` and the like.
        method: Of the quantizer.
        calib_images: Photos to calibrate on.
        weights: Folder with weight files by timm's names.
        labels: File with the labels of ``data``.
        class_index: File that says which output is which class.
        output: Folder for the journal and the programs.
        backend: Who runs the programs.
        limit: At most so many photos.
        batch_size: Photos per batch.
        workers: Threads that read photos ahead.
        seed: Of the draw.
        threads: Bound.
        out: Where notes and progress go.

    Returns:
        The keys of ``p2vit reproduce --json``.

    Raises:
        P2vitError: whatever users can mend before anything is measured; a model that fails is listed in ``failed``.
    """
    from p2vit.report.published import choose_models
    from p2vit.report.reproduction import Journal, table_rows

    out = out or Output(quiet=True)
    journal = Journal(output / "journal.jsonl")
    chosen = choose_models(models)
    measured: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    if data is not None:
        setting = check_setting(data, calib_data, calib_images, seed, labels, method, bits)
        setting |= {"limit": limit}
        jobs = [(label, name, width) for label, name in chosen.items() for width in bits]
        for place, (label, name, width) in enumerate(jobs, start=1):
            own = {
                **setting,
                "model": name,
                "bits": width,
                "weights": None if weights is None else str(weights),
            }
            if (entry := journal.find(own)) is not None:
                out.note(f"[{place}/{len(jobs)}] {name} {width}: is in the journal")
                measured.append(entry)
                continue
            out.note(f"[{place}/{len(jobs)}] {name} {width}: quantize, then measure")
            try:
                entry = measure(
                    label, name, width, own, data, calib_data or data, output / "programs", weights, out,
                    calib_images=calib_images, method=method, seed=seed, threads=threads, labels=labels,
                    class_index=class_index, backend=backend, limit=limit, batch_size=batch_size, workers=workers,
                )  # fmt: skip
            except P2vitError as error:
                out.warn(f"{name} {width}: {error}")
                failed.append({"model": name, "bits": width, "error": str(error)})
                continue
            journal.add(entry)
            measured.append(entry)
    return {
        "rows": table_rows(journal.entries),
        "measured": measured,
        "failed": failed,
        "journal": str(journal.path),
        "data": None if data is None else str(data),
    }


def check_setting(
    data: Path,
    calib_data: Path | None,
    calib_images: int,
    seed: int,
    labels: Path | None,
    method: str,
    bits: tuple[str, ...],
) -> dict[str, Any]:
    """Look at both folders before anything is spent on them.

    Returns:
        What the figures depend on besides model and width.

    Raises:
        DataError: a folder is missing or has no labels, or the two are not disjoint.
        P2vitError: the method has no integer program, or a width is not understood.
    """
    from p2vit import __version__
    from p2vit.data.folder import ImageFolder
    from p2vit.data.labels import read_labels
    from p2vit.program.preprocessing import Preprocessing
    from p2vit.report.evaluation import check_splits
    from p2vit.report.features import check_disjoint
    from p2vit.report.reproduction import check_drawn, fingerprint

    if not all(choose_config(width, method).integer for width in bits):
        raise P2vitError(
            f"--method {method}: is only simulated; reproduce measures integer programs, e.g. p2vit"
        )
    photos = ImageFolder(data, Preprocessing(), table=None if labels is None else read_labels(labels))
    check_splits(photos)
    if not photos.classes:
        raise DataError(
            f"{data}: has no labels; ImageNet's validation photos are needed with one subfolder per wnid, or with "
            "--labels FILE"
        )
    if calib_data is None:
        raise DataError(
            "calibration needs photos that are not measured: give --calib-data, such as ImageNet's training folder. "
            f"Where only {data} is at hand, move a few hundred photos of it to a folder of their own and calibrate on "
            "those; the rest is then measured, and the result is not one on the full validation set"
        )
    check_disjoint(calib_data, data, "--calib-data")
    others = ImageFolder(calib_data, Preprocessing())
    check_drawn(others, photos, calib_images, seed)
    return {
        "method": method,
        "calib_images": calib_images,
        "seed": seed,
        "photos": fingerprint(photos),
        "calibration": fingerprint(others, others.drawn(seed)[: 2 * calib_images]),
        "p2vit": __version__,
    }


def measure(
    label: str,
    name: str,
    bits: str,
    setting: dict[str, Any],
    data: Path,
    calib_data: Path,
    programs: Path,
    weights: Path | None,
    out: Output,
    *,
    calib_images: int,
    method: str,
    seed: int,
    threads: int | None,
    **options: Any,
) -> dict[str, Any]:
    """Quantize and evaluate one model: an entry of the journal.

    Raises:
        P2vitError: the weights cannot be had, the model is not supported, or there is no accuracy.
    """
    model, arch = (name, None) if weights is None else (weight_file(weights, name), name.split(".")[0])
    program = programs / f"{name.replace('/', '_').replace(':', '_')}-{bits}-{method}"
    quantized = run_quantize(
        str(model), str(calib_data), program, bits=bits, method=method, calib_images=calib_images, arch=arch,
        seed=seed, threads=threads, overwrite=True, out=out,
    )  # fmt: skip
    found = run_eval(program, str(data), threads=threads, out=out, **options)
    if found["top1"] is None:
        raise P2vitError(f"{data}: no accuracy could be measured: {'; '.join(found['notes'])}")
    kept = (
        "images",
        "top1",
        "top5",
        "top1_float",
        "top5_float",
        "agreement",
        "sqnr_db",
        "program_sha256",
        "backend",
    )
    return {
        "setting": setting,
        "model": label,
        "name": name,
        "bits": bits,
        "method": method,
        **{key: found[key] for key in kept},
        "seconds": quantized["seconds"],
        "evaluation_seconds": found["evaluation_seconds"],
        "skipped": len(found["skipped"]),
        "program": str(program),
    }


def weight_file(folder: Path, name: str) -> Path:
    """The weight file of a timm name.

    Raises:
        DataError: there is none; says which names were looked for.
    """
    wanted = [
        f"{form}{end}" for form in (name, name.split(".")[0]) for end in (".safetensors", ".pth", ".bin")
    ]
    for file in wanted:
        if (folder / file).is_file():
            return folder / file
    raise DataError(f"{folder}: has no weights of {name}; looked for {', '.join(wanted)}")


def describe(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [f"{'model':<12}{'W/A/attn':<10}{'method':<42}{'published':>14}{'measured':>10}  photos"]
    for row in result["rows"]:
        published = "-" if row["published"] is None else f"{row['published']:.2f}"
        published += "" if row["published_to"] is None else f"–{row['published_to']:.2f}"
        measured = "-" if row["measured"] is None else f"{row['measured']:.2f}"
        photos = "" if row["images"] is None else f"  {row['images']}"
        bits = row["bits"] if row["method"] != "float" else "float"
        lines.append(f"{row['model']:<12}{bits:<10}{row['method']:<42}{published:>14}{measured:>10}{photos}")
    sources = dict.fromkeys(
        (row["method"], row["source"]) for row in result["rows"] if row["published"] is not None
    )
    by_source: dict[str, list[str]] = {}
    for method, source in sources:
        by_source.setdefault(source, []).append(method)
    lines += ["ImageNet-1k top-1, percent. Sources of what is published:"]
    lines += [f"  {', '.join(dict.fromkeys(methods))}: {source}" for source, methods in by_source.items()]
    lines.append("The P²-ViT paper's own rows are not in this table: its accuracy tables could not be had.")
    lines += [f"failed: {row['model']} {row['bits']}: {row['error']}" for row in result["failed"]]
    if result["data"] is None:
        lines += ["", NEEDED]
    return "\n".join(lines)


@click.command("reproduce")
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="ImageNet's validation photos: what is measured.",
)
@click.option(
    "--calib-data", metavar="DIR", type=click.Path(path_type=Path), help="Other photos, to calibrate on."
)
@click.option(
    "--models",
    multiple=True,
    metavar="PATTERN",
    help="DeiT-T, 'Swin-*', a timm name; repeatable. Default: all.",
)
@click.option(
    "--bits", multiple=True, default=("w8a8", "w4a8"), show_default=True, help="w2a8 to w8a8; repeatable."
)
@click.option("--method", default="p2vit", show_default=True, help="p2vit-log2 has 4-bit attention codes.")
@click.option(
    "--calib-images", default=32, show_default=True, type=click.IntRange(1), help="Photos to calibrate on."
)
@click.option(
    "--weights",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with weight files by timm's names.",
)
@click.option("--labels", metavar="FILE", type=click.Path(path_type=Path), help="As in eval.")
@click.option("--class-index", metavar="FILE", type=click.Path(path_type=Path), help="As in eval.")
@click.option(
    "-o",
    "--output",
    default="out/reproduce",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the journal and the programs; a run that was stopped goes on there.",
)
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(1), help="Photos per batch.")
@click.option("--workers", type=click.IntRange(0, 256), help="Threads that read photos ahead.")
@backend_option
@limit_option
@seed_option
@threads_option
@common
def reproduce(out: Output, **options: Any) -> int:
    """Published ImageNet figures of the P²-ViT paper and of FQ-ViT, beside what this machine measures.

    Without --data it shows the table and says what measuring needs. With it, every model is quantized on photos of
    --calib-data and measured on --data. Results go to a journal, so that a run which was stopped goes on. Exit
    status 1 when a model could not be measured.
    """
    if options["data"] is None and (options["calib_data"] or options["models"]):
        raise click.UsageError(
            "--data is missing: without ImageNet's validation photos nothing can be measured"
        )
    result = run_reproduce(out=out, **options)
    out.result(result, describe(result))
    return CHECK_FAILED if result["failed"] else 0
