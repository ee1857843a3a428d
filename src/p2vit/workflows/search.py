"""``p2vit search``: which layer gets how many bits under a budget, and the program of that mix."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from p2vit.errors import DataError, P2vitError
from p2vit.files import one_writer
from p2vit.program.format import program_sha256
from p2vit.workflows.plain import plain
from p2vit.workflows.program_folder import check_place, write_program
from p2vit.workflows.quantize import load
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from p2vit.models.loaded import FloatModel
    from p2vit.quant.api import QuantizeResult
    from p2vit.quant.search.cost import Bits
from p2vit.workflows.feedback import Feedback

#: Written into the program's folder, and beside it while the search runs.
RESULT_FILE, LOG_SUFFIX = "search.json", ".search.jsonl"


def parse_widths(text: str) -> tuple[int, ...]:
    """Widths from ``4,8``.

    Raises:
        P2vitError: anything but whole numbers from 2 to 8.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and 2 <= int(part) <= 8 for part in parts):
        raise P2vitError(f"--widths {text!r} is not understood; write widths from 2 to 8, e.g. 4,8")
    return tuple(sorted({int(part) for part in parts}))


@one_writer("output")
def run_search(
    model: str,
    data: str,
    output: Path,
    *,
    budget: str,
    hardware: str | None = None,
    widths: str = "4,8",
    method: str = "p2vit",
    calib_images: int = 96,
    held_out: int = 32,
    measure: str = "direct",
    coarse: bool = True,
    fine: bool = True,
    population: int = 25,
    generations: int = 8,
    backend: str = "serial",
    jobs: int = 2,
    arch: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
    out: Feedback | None = None,
) -> dict[str, Any]:
    """Search a mix of widths, quantize with it and save the program.

    Args:
        model: As users type it.
        data: A folder or a benchmark's name; only photos that may be calibrated on are used.
        output: The program's folder; the log of candidates is ``OUTPUT.search.jsonl``.
        budget: ``average-bits=6``, ``bytes=16M``, ``bitops=300G``, ``latency-ms=8`` or ``energy-mj=2``.
        hardware: Machine that the last two are modelled on; ``paper`` if None.
        widths: That a layer may have.
        method: A name in ``METHODS``.
        calib_images: Photos to calibrate on.
        held_out: Further calibration photos to score candidates on.
        measure: Sensitivity of the coarse step, ``direct`` or ``hessian``.
        coarse: Start from the exact solution for that sensitivity.
        fine: Refine by evolution.
        population: Candidates that survive a generation.
        generations: Of the evolution.
        backend: Who scores candidates.
        jobs: Processes of such a backend.
        arch: Architecture of a weight file.
        seed: Of every draw.
        threads: Bound; the result does not depend on it.
        strict: Refuse photos that cannot be read.
        overwrite: Replace a program that is there, and start the log anew.
        out: Where notes and progress go.

    Returns:
        The keys of ``p2vit search --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    out = out or Feedback()
    chosen = parse_widths(widths)
    check_place(output, overwrite)
    named_output = output if output.name not in ("", "..") else output.resolve()
    log = named_output.with_name(named_output.name + LOG_SUFFIX)
    loaded = load(model, arch, None, seed)
    from p2vit.quant.api import quantize
    from p2vit.quant.config import method as named
    from p2vit.quant.search.coarse import check
    from p2vit.quant.search.finalists import decide, finalists
    from p2vit.quant.search.fine import Evolution
    from p2vit.quant.search.journal import check_log
    from p2vit.quant.search.layers import searchable
    from p2vit.quant.search.run import SearchConfig, prepare, search
    from p2vit.workflows.budget import read_budget

    check_log(log, overwrite)
    config = replace(named(method), weight_bits=chosen[-1])
    config.check_integer()
    layers = searchable(loaded.config)
    limit = read_budget(
        budget, layers, chosen, loaded.config, hardware, log2_softmax=config.softmax == "log2"
    )
    # Before any photo is read: an impossible budget is known at once.
    check({layer.name: dict.fromkeys(chosen, 0.0) for layer in layers}, limit)
    photos = draw(data, loaded, calib_images + held_out, seed, strict)
    if len(photos) < calib_images + held_out:
        held_out = max(1, len(photos) * held_out // (calib_images + held_out))
        out.warn(f"{data}: only {len(photos)} photos could be had; {held_out} of them are held out")
    calibration, rest = photos[:-held_out], photos[-held_out:]
    threads = thread_count(threads)
    with out.progress() as progress:
        prepared = prepare(
            loaded, calibration, rest, config, chosen, seed=seed, threads=threads, progress=progress
        )
        settings = SearchConfig(
            widths=chosen,
            measure=measure,  # type: ignore[arg-type]
            coarse=coarse,
            fine=fine,
            evolution=Evolution(population=population, generations=generations, seed=seed),
            backend=backend,
            jobs=jobs,
        )
        found = search(
            prepared, limit, settings, log=log, overwrite=overwrite, threads=threads, progress=progress
        )
        mixes = finalists(prepared, limit, found, threads)

        def make(bits: "Bits") -> "QuantizeResult":
            mixed = replace(config, layer_bits=dict(bits))
            return quantize(
                loaded, [calibration], mixed, threads=threads, progress=progress, seed=seed, calibration=data
            )

        place, scores, result = decide(prepared, mixes, make, threads)
    chosen_bits = dict(mixes[place])
    notes = {"model": loaded.source, "bits": "mixed", "method": method, "calibration_images": result.photos}
    report = {
        "bits_per_layer": chosen_bits,
        "budget": {"name": limit.name, "limit": limit.limit}
        | ({"hardware": hardware or "paper"} if limit.whole else {}),
        "cost": limit.total(chosen_bits),
        "sqnr_db": scores[place],
        "finalists": [
            {"bits": "searched" if bits is found.bits_per_layer else max(bits.values()), "sqnr_db": score}
            for bits, score in zip(mixes, scores, strict=True)
        ],
        "searched_sqnr_db": found.sqnr_db,
        "candidates": found.candidates,
        "program_sha256": program_sha256(result.program),
        "calibration_images": len(calibration),
        "held_out_images": len(rest),
        "seed": seed,
    }
    beside = {RESULT_FILE: json.dumps(plain(report), indent=1) + "\n"}
    write_program(result, output, overwrite=overwrite, notes=notes, more=beside)
    return {
        **report,
        "file": str(output),
        "log": str(log),
        "seconds": found.seconds | {"final": result.seconds},
    }


def draw(data: str, model: "FloatModel", count: int, seed: int, strict: bool) -> "NDArray[np.uint8]":
    """Calibration photos, uint8 [P, H, W, 3].

    Raises:
        DataError: fewer than two could be had.
    """
    from p2vit.data.benchmarks import open_photos

    source = open_photos(data, model.preprocessing, strict=strict)
    batches = list(source.calibration(count, seed))
    if sum(map(len, batches)) < 2:
        raise DataError(f"{data}: a search needs at least 2 photos, one of them to score on")
    return np.concatenate(batches)
