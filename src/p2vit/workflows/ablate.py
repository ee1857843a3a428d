"""``p2vit ablate``: one table of all methods, and of ours without each of its pieces."""

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
    """Measure all rows.

    Args:
        model: As users type it.
        data: A benchmark or a folder with classes.
        output: Folder for ``ablation.json``, ``.md`` and ``.svg``.
        options: What may be chosen; the defaults of `AblateOptions` if None.
        overwrite: Replace an earlier table.
        command: Recorded with the table.
        out: Where notes and progress go.
        **changes: Fields of `AblateOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit ablate --json``.

    Raises:
        P2vitError: whatever users can mend.
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
    # A table that was begun is measured anew by the same command.
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
            # Written after every row: a table that took an hour is not lost with its last row.
            texts = (to_json(result) + "\n", markdown(result), plot(result))
            target.write({file.name: text for file, text in zip(files, texts, strict=True)}, token)
        target.finish()
    return {**result, "files": [str(file) for file in files]}


@dataclass(frozen=True)
class _Row:
    """Measures one row; an object, so that it can be sent to another process.

    Attributes:
        model: Float.
        calibration: Photos to calibrate on.
        batches: Photos to measure on, with labels.
        classes: Of photos and model.
        bits: Width of the weights.
        seed: Random seed.
        data: Name of the photos.
        outputs: The float model's outputs; where None, ``measure`` is given what computes them.
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
        """A row, computed by one thread."""
        from p2vit.evaluate.ablation import Remembered

        return self.measure(name, Remembered.known(self.batches, self.outputs), 1, lambda *_: None)

    def measure(self, name: str, exact: Any, threads: int, progress: Any) -> tuple[str, Any, float]:
        """Quantize by a method and measure it.

        Returns:
            (its name, its accuracy, seconds to quantize).
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
    """Rows in order, by this process or shared out."""
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
    """Quantize by one method.

    Returns:
        (a function from pixels to real logits and features, seconds to quantize).
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
