"""``p2vit reproduce``: show published ImageNet figures, and measure them on this machine."""

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

NEEDED = """Measuring needs ImageNet-1k, whose licence does not allow redistribution. With it:

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
    """Measure published models on ImageNet, and compare the figures with the published ones.

    Args:
        options: Options; the defaults of `ReproduceOptions` if None.
        out: Receives notes and progress.
        **changes: Fields of `ReproduceOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit reproduce --json``.

    Raises:
        P2vitError: The input or an option is not allowed. A model that fails later is listed in ``failed``.
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
                out.note(f"[{place}/{len(jobs)}] {name} {width}: already measured, taken from the journal")
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
    """Check both folders and the options before any time is spent.

    Args:
        data: Folder with the validation photos.
        options: Options of the workflow.

    Returns:
        Everything that the figures depend on, except model and width.

    Raises:
        DataError: A folder is missing or has no labels, or the two folders share photos.
        P2vitError: The method makes no integer program, or a width is not understood.
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
            f"--method {method}: makes no integer program, so it cannot be measured here; give e.g. --method p2vit"
        )
    photos = ImageFolder(data, Preprocessing(), table=None if labels is None else read_labels(labels))
    check_splits(photos)
    if not photos.classes:
        raise DataError(
            f"{data}: has no labels; give ImageNet's validation photos with one subfolder per WordNet id (n01440764), "
            "or --labels FILE"
        )
    if calib_data is None:
        raise DataError(
            "--calib-data is missing: calibration needs photos that are not measured, such as ImageNet's training "
            f"folder. If you only have {data}, move a few hundred of its photos to another folder and calibrate on "
            "these; the result is then not one of the full validation set"
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
        name: Name of the timm model.
        bits: Bits of weights and activations, such as ``w8a8``.
        options: Options of the workflow, with the validation photos.
        out: Receives notes and progress.

    Returns:
        The entry for the journal.

    Raises:
        P2vitError: The weights cannot be loaded, the model is not supported, or no accuracy could be measured.
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
    """Find the weight file of a timm model.

    Raises:
        DataError: There is none; the message lists the names that were tried.
    """
    wanted = [
        f"{form}{end}" for form in (name, name.split(".")[0]) for end in (".safetensors", ".pth", ".bin")
    ]
    for file in wanted:
        if (folder / file).is_file():
            return folder / file
    raise DataError(f"{folder}: has no weights of {name}; add one of {', '.join(wanted)}")
