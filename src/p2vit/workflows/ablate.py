"""``p2vit ablate``: one table of all methods, and of ours without each of its pieces."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.registry import open_backend
from p2vit.files import check_output, write_text
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.float_model import float_predict
from p2vit.workflows.left_out import say_notes, say_skipped
from p2vit.workflows.plain import to_json
from p2vit.workflows.quantize import load
from p2vit.workflows.threads import thread_count, torch_threads

BATCH = 8


def run_ablate(
    model: str,
    data: str,
    output: Path,
    *,
    bits: str = "w8a8",
    rows: tuple[str, ...] = (),
    calib_images: int = 32,
    limit: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    command: str = "",
    out: Feedback | None = None,
) -> dict[str, Any]:
    """Measure all rows.

    Args:
        model: As users type it.
        data: A benchmark or a folder with classes.
        output: Folder for ``ablation.json``, ``.md`` and ``.svg``.
        bits: ``w8a8`` and the like.
        rows: Parts of the names of rows to measure; empty for all.
        calib_images: Photos to calibrate on.
        limit: At most so many photos.
        seed: Of the draw.
        threads: Bound.
        overwrite: Replace an earlier table.
        command: Recorded with the table.
        out: Where notes and progress go.

    Returns:
        The keys of ``p2vit ablate --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos
    from p2vit.evaluate.ablation import Remembered, choose_rows
    from p2vit.evaluate.accuracy import measure
    from p2vit.quant.config import METHODS, WITHOUT, parse_bits
    from p2vit.report.ablation_table import markdown, plot

    out = out or Feedback()
    names = choose_rows(list(METHODS), list(WITHOUT), rows)
    files = [output / f"ablation.{suffix}" for suffix in ("json", "md", "svg")]
    for file in files:
        check_output(file, overwrite)
    threads = thread_count(threads)
    loaded = load(model, None, None, seed)
    photos = open_photos(data, loaded.preprocessing)
    say_notes(photos, out)
    calibration = list(photos.calibration(calib_images, seed))
    exact = Remembered(list(photos.evaluation(limit, BATCH)), float_predict(loaded))
    say_skipped(photos, out)
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
    for place, name in enumerate(names, start=1):
        out.note(f"[{place}/{len(names)}] {name}")
        config = replace({**METHODS, **WITHOUT}[name], weight_bits=parse_bits(bits))
        with out.progress() as progress:
            predict, seconds = prepare(loaded, calibration, config, threads, progress, seed, data)
            measured = measure(
                predict,
                exact,
                exact.batches,
                total=sum(len(labels) for _, labels in exact.batches),
                photo_classes=photos.classes,
                model_classes=loaded.class_names,
                outputs=loaded.config.num_classes,
                workers=threads,
                prepare=lambda: torch_threads(1),
                progress=progress,
            )
        kept = measured.model_dump(include={"top1", "top5", "agreement", "sqnr_db"})
        found.append({"name": name, "integer": config.integer, **kept, "seconds": round(seconds, 2)})
        result |= {"images": measured.images, "top1_float": measured.top1_float, "notes": measured.notes}
        # Written after every row: a table that took an hour is not lost with its last row.
        for file, text in zip(files, (to_json(result) + "\n", markdown(result), plot(result)), strict=True):
            write_text(file, text)
    return {**result, "files": [str(file) for file in files]}


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
