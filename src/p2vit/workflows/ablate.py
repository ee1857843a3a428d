"""``p2vit ablate``: compare all quantization methods, and the p2vit method without each of its parts."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.cluster import Pool, open_pool
from p2vit.engine.registry import open_backend
from p2vit.files import FileSet, one_writer
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.float_model import float_predict
from p2vit.workflows.left_out import say_notes, say_skipped
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.quantize import AblateOptions
from p2vit.workflows.plain import to_json
from p2vit.workflows.quantize import load
from p2vit.workflows.threads import thread_count, torch_threads

BATCH = 8


@one_writer("output")
def run_ablate(
    model: str,
    data: str,
    output: Path,
    options: AblateOptions | None = None,
    *,
    overwrite: bool = False,
    command: str = "",
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Quantize the model with each method, measure it, and write the table.

    Args:
        model: Name of the model, as on the command line.
        data: A benchmark, or a folder with one subfolder per class.
        output: Folder for ``ablation.json``, ``.md`` and ``.svg``.
        options: Options; the defaults of `AblateOptions` if None.
        overwrite: Replace an earlier table.
        command: Command line to record with the table.
        out: Receives notes and progress.
        **changes: Fields of `AblateOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit ablate --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.evaluate.ablation import Remembered, choose_rows
    from p2vit.evaluate.accuracy import Classes
    from p2vit.quant.config import METHODS, WITHOUT, parse_bits
    from p2vit.report.ablation_table import markdown, plot

    out = out or Feedback()
    options = changed(AblateOptions, options, changes)
    bits, seed = options.bits, options.seed
    names = choose_rows(list(METHODS), list(WITHOUT), options.rows)
    files = [output / f"ablation.{suffix}" for suffix in ("json", "md", "svg")]
    target = FileSet.within(output, "ablation", overwrite)
    # The token identifies the settings. The same command may replace a table that was not finished.
    token = (
        f"{model} on {data}, {bits}, {options.calib_images} photos, limit {options.limit}, seed {seed}, "
        f"{len(names)} rows"
    )
    target.check([file.name for file in files], token)
    threads = thread_count(options.threads)
    loaded = load(model, options, out)
    photos = open_photos(data, loaded.preprocessing)
    say_notes(photos, out)
    calibration = list(photos.calibration(options.calib_images, seed))
    exact = Remembered(list(photos.evaluation(options.limit, BATCH)), float_predict(loaded))
    say_skipped(photos, out)
    target.begin(token)
    found: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "model": loaded.source,
        "data": data,
        "bits": bits,
        "calibration_images": sum(len(batch) for batch in calibration),
        "seed": seed,
        "command": command or f"p2vit ablate {model} --data {data} -o {output}",
        "rows": found,
    }
    work = _Row(
        model=loaded,
        calibration=calibration,
        batches=exact.batches,
        classes=Classes(photos.classes, loaded.class_names, loaded.config.num_classes),
        bits=parse_bits(bits),
        seed=seed,
        data=data,
    )
    with open_pool(options.cluster) as pool:
        for name, measured, seconds in _rows(work, names, exact, pool, threads, out):
            kept = measured.model_dump(include={"top1", "top5", "agreement", "sqnr_db"})
            integer = {**METHODS, **WITHOUT}[name].integer
            found.append({"name": name, "integer": integer, **kept, "seconds": round(seconds, 2)})
            result |= {"images": measured.images, "top1_float": measured.top1_float, "notes": measured.notes}
            # Written after every row, so that a failure in the last row does not lose an hour of measurements.
            texts = (to_json(result) + "\n", markdown(result), plot(result))
            target.write({file.name: text for file, text in zip(files, texts, strict=True)}, token)
        target.finish()
    return {**result, "files": [str(file) for file in files]}


@dataclass(frozen=True)
class _Row:
    """Measures one row. It is an object so that it can be sent to another process.

    Attributes:
        model: The float model.
        calibration: Calibration photos in batches, uint8 [B, H, W, 3].
        batches: Photos to measure on, with labels.
        classes: Classes of the photos and of the model.
        bits: Weight width in bits.
        seed: Random seed.
        data: Name of the photos.
        outputs: The float model's outputs for ``batches``; None if the caller of ``measure`` passes them.
    """

    model: Any
    calibration: list[np.ndarray]
    batches: Any
    classes: Any
    bits: int
    seed: int
    data: str
    outputs: Any = None

    def __call__(self, name: str) -> tuple[str, Any, float]:
        """Measure a row with one thread."""
        from p2vit.evaluate.ablation import Remembered

        return self.measure(name, Remembered.known(self.batches, self.outputs), 1, lambda *_: None)

    def measure(self, name: str, exact: Any, threads: int, progress: Any) -> tuple[str, Any, float]:
        """Quantize with a method and measure the result.

        Returns:
            (name of the method, accuracy, seconds to quantize).
        """
        from p2vit.evaluate.accuracy import measure
        from p2vit.quant.config import METHODS, WITHOUT

        config = replace({**METHODS, **WITHOUT}[name], weight_bits=self.bits)
        predict, seconds = prepare(
            self.model, self.calibration, config, threads, progress, self.seed, self.data
        )
        measured = measure(
            predict,
            exact,
            exact.batches,
            self.classes,
            total=sum(len(labels) for _, labels in exact.batches),
            workers=threads,
            prepare=lambda: torch_threads(1),
            progress=progress,
        )
        return name, measured, seconds


def _rows(
    work: _Row, names: list[str], exact: Any, pool: Pool, threads: int, out: Feedback
) -> Iterator[tuple[str, Any, float]]:
    """Yield the rows in order, measured by this process or by the pool's workers."""
    if pool.workers > 1:
        out.note(f"{len(names)} rows, {pool.workers} at a time")
        with out.progress() as progress:
            rows = pool.map(replace(work, outputs=exact.outputs), names)
            for done, row in enumerate(rows, start=1):
                progress("rows", done, len(names))
                yield row
        return
    for place, name in enumerate(names, start=1):
        out.note(f"[{place}/{len(names)}] {name}")
        with out.progress() as progress:
            row = work.measure(name, exact, threads, progress)
        yield row


def prepare(
    model: Any, calibration: list[np.ndarray], config: Any, threads: int, progress: Any, seed: int, data: str
) -> tuple[Any, float]:
    """Quantize with one method.

    Returns:
        (a function from uint8 pixels [B, H, W, 3] to real logits and features, seconds to quantize).
    """
    from p2vit.evaluate.accuracy import executor_predict
    from p2vit.quant.api import quantize, simulated

    start = time.perf_counter()
    if config.integer:
        result = quantize(
            model, calibration, config, threads=threads, progress=progress, seed=seed, calibration=data
        )
        _, executor = open_backend("auto", result.program, threads)
        return executor_predict(result.program, executor), result.seconds
    quantized = simulated(model, calibration, config, threads=threads, progress=progress)
    seconds = time.perf_counter() - start

    def predict(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            logits, features = quantized.logits(torch.from_numpy(pixels))
        return logits.numpy(), features.numpy()

    return predict, seconds
