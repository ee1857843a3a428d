"""``p2vit reproduce``: published ImageNet figures beside what this machine measures."""

from pathlib import Path
from typing import Any

from p2vit.errors import DataError, P2vitError
from p2vit.files import one_writer
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.quantize import choose_config, run_quantize

NEEDED = """Nothing is measured without ImageNet-1k, which nobody may hand on. With it:

  p2vit reproduce --data imagenet/val --calib-data imagenet/train

--data        the 50,000 validation photos: one subfolder per wnid, or a flat folder with --labels
--calib-data  other photos to calibrate on, such as the training set or a few hundred photos of it
weights       timm downloads them; offline, --weights DIR with NAME.safetensors or NAME.pth for each timm NAME"""


@one_writer("output", only_with="data")
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
    out: Feedback | None = None,
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
    from p2vit.evaluate.published import choose_models
    from p2vit.evaluate.reproduction import Journal, table_rows

    out = out or Feedback()
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
    from p2vit.evaluate.evaluation import check_splits
    from p2vit.evaluate.features import check_disjoint
    from p2vit.evaluate.reproduction import check_drawn, fingerprint
    from p2vit.program.preprocessing import Preprocessing

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
    out: Feedback,
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
