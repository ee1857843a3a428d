"""``p2vit ablate``: one table of all methods, and of ours without each of its pieces."""

import json
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from p2vit.cli.backends import open_backend
from p2vit.cli.common import (
    Output,
    check_output,
    common,
    limit_option,
    overwrite_option,
    seed_option,
    thread_count,
    threads_option,
    to_json,
    torch_threads,
    write_text,
)
from p2vit.cli.float_model import float_predict
from p2vit.cli.quantize import load

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
    out: Output | None = None,
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
    from p2vit.quant.config import METHODS, WITHOUT, parse_bits
    from p2vit.report.ablation import Remembered, choose_rows, markdown, plot
    from p2vit.report.accuracy import measure

    out = out or Output(quiet=True)
    names = choose_rows(list(METHODS), list(WITHOUT), rows)
    files = [output / f"ablation.{suffix}" for suffix in ("json", "md", "svg")]
    for file in files:
        check_output(file, overwrite)
    threads = thread_count(threads)
    loaded = load(model, None, None, seed)
    photos = open_photos(data, loaded.preprocessing)
    calibration = list(photos.calibration(calib_images, seed))
    exact = Remembered(list(photos.evaluation(limit, BATCH)), float_predict(loaded))
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
    from p2vit.quant.api import quantize, simulated
    from p2vit.report.accuracy import executor_predict

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


@click.command("ablate")
@click.argument("model", default="dinov2-elpv")
@click.option(
    "--data", default="elpv", show_default=True, metavar="DIR", help="A benchmark or a folder with classes."
)
@click.option(
    "-o",
    "--output",
    default="out/ablation",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder.",
)
@click.option("--bits", default="w8a8", show_default=True, help="w2a8 to w8a8: width of the weights.")
@click.option(
    "--row", "rows", multiple=True, metavar="NAME", help="Only rows with this in their name; repeatable."
)
@click.option(
    "--calib-images", default=32, show_default=True, type=click.IntRange(1), help="Photos to calibrate on."
)
@limit_option
@overwrite_option
@seed_option
@threads_option
@common
def ablate(out: Output, model: str, data: str, **options: Any) -> None:
    """Measure every method on MODEL, and ours with each of its pieces taken away: JSON, Markdown and a plot.

    Methods without an integer program are simulated and marked so. All photos stay in memory while it runs.
    """
    words = click.get_current_context().obj or []
    result = run_ablate(model, data, out=out, command=shlex.join(["p2vit", *words]), **options)
    out.result(
        result, json.dumps(result["files"]) if out.quiet else Path(result["files"][1]).read_text("utf-8")
    )
