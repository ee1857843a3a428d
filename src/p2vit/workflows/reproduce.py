"""``p2vit reproduce``: published ImageNet figures beside what this machine measures."""

from pathlib import Path
from typing import Any

from p2vit.errors import DataError, P2vitError
from p2vit.files import one_writer
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import EvaluateOptions, ReproduceOptions
from p2vit.workflows.options.quantize import QuantizeOptions
from p2vit.workflows.quantize import choose_config, run_quantize

NEEDED = """Nothing is measured without ImageNet-1k, which nobody may hand on. With it:

  p2vit reproduce --data imagenet/val --calib-data imagenet/train

--data        the 50,000 validation photos: one subfolder per wnid, or a flat folder with --labels
--calib-data  other photos to calibrate on, such as the training set or a few hundred photos of it
weights       timm downloads them; offline, --weights DIR with NAME.safetensors or NAME.pth for each timm NAME"""


@one_writer("output", only_with="data")
def run_reproduce(
    options: ReproduceOptions | None = None,
    *,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Measure published models on ImageNet, and put the figures beside the published ones.

    Args:
        options: What may be chosen; the defaults of `ReproduceOptions` if None.
        out: Where notes and progress go.
        **changes: Fields of `ReproduceOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit reproduce --json``.

    Raises:
        P2vitError: whatever users can mend before anything is measured; a model that fails is listed in ``failed``.
    """
    from p2vit.evaluate.published import choose_models
    from p2vit.evaluate.reproduction import Journal, table_rows

    options, out = changed(ReproduceOptions, options, changes), out or Feedback()
    journal = Journal(options.output / "journal.jsonl")
    chosen = choose_models(options.models)
    measured: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    if options.data is not None:
        setting = check_setting(options.data, options) | {"limit": options.limit}
        jobs = [(label, name, width) for label, name in chosen.items() for width in options.bits]
        for place, (label, name, width) in enumerate(jobs, start=1):
            own = {
                **setting,
                "model": name,
                "bits": width,
                "weights": None if options.weights is None else str(options.weights),
            }
            if (entry := journal.find(own)) is not None:
                out.note(f"[{place}/{len(jobs)}] {name} {width}: is in the journal")
                measured.append(entry)
                continue
            out.note(f"[{place}/{len(jobs)}] {name} {width}: quantize, then measure")
            try:
                entry = {"setting": own, "model": label, **measure(name, width, options, out)}
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
        "data": None if options.data is None else str(options.data),
    }


def check_setting(data: Path, options: ReproduceOptions) -> dict[str, Any]:
    """Look at both folders before anything is spent on them.

    Args:
        data: The validation photos.
        options: Of the workflow.

    Returns:
        What the figures depend on besides model and width.

    Raises:
        DataError: a folder is missing or has no labels, or the two are not disjoint.
        P2vitError: the method has no integer program, or a width is not understood.
    """
    from p2vit.data.folder import ImageFolder
    from p2vit.data.labels import read_labels
    from p2vit.evaluate.evaluation import check_splits
    from p2vit.evaluate.features import check_disjoint
    from p2vit.evaluate.reproduction import check_drawn, fingerprint
    from p2vit.program.preprocessing import Preprocessing
    from p2vit.version import __version__

    method, calib_data, labels = options.method, options.calib_data, options.labels
    if not all(choose_config(width, method).integer for width in options.bits):
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
    check_drawn(others, photos, options.calib_images, options.seed)
    return {
        "method": method,
        "calib_images": options.calib_images,
        "seed": options.seed,
        "photos": fingerprint(photos),
        "calibration": fingerprint(others, others.drawn(options.seed)[: 2 * options.calib_images]),
        "p2vit": __version__,
    }


def measure(name: str, bits: str, options: ReproduceOptions, out: Feedback) -> dict[str, Any]:
    """Quantize and evaluate one model.

    Args:
        name: timm's name.
        bits: ``w8a8`` and the like.
        options: Of the workflow, with validation photos.
        out: Where notes and progress go.

    Returns:
        What the journal keeps of it.

    Raises:
        P2vitError: the weights cannot be had, the model is not supported, or there is no accuracy.
    """
    model, arch, data = name, None, str(options.data)
    if options.weights is not None:
        model, arch = str(weight_file(options.weights, name)), name.split(".")[0]
    file = f"{name.replace('/', '_').replace(':', '_')}-{bits}-{options.method}"
    program = options.output / "programs" / file
    quantizing = QuantizeOptions(
        arch=arch,
        bits=bits,
        method=options.method,
        calib_images=options.calib_images,
        seed=options.seed,
        threads=options.threads,
    )
    calibration = str(options.calib_data or options.data)
    quantized = run_quantize(model, calibration, program, quantizing, overwrite=True, out=out)
    evaluating = EvaluateOptions(
        labels=options.labels,
        class_index=options.class_index,
        backend=options.backend,
        limit=options.limit,
        batch_size=options.batch_size,
        readers=options.readers,
        engine=options.engine,
        address=options.address,
        workers=options.workers,
        threads=options.threads,
    )
    found = run_eval(program, data, evaluating, out=out)
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
        "name": name,
        "bits": bits,
        "method": options.method,
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
