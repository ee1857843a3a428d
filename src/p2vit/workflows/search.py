"""``p2vit search``: which layer gets how many bits under a budget, and the program of that mix."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from p2vit.cluster import open_pool
from p2vit.errors import DataError, P2vitError
from p2vit.files import one_writer
from p2vit.program.format import program_sha256
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.quantize import SearchOptions
from p2vit.workflows.plain import plain
from p2vit.workflows.program_folder import check_place, write_program
from p2vit.workflows.quantize import load
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from p2vit.models.loaded import FloatModel
    from p2vit.quant.api import QuantizeResult
    from p2vit.quant.search.cost import Bits

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
    options: SearchOptions | None = None,
    *,
    overwrite: bool = False,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Search a mix of widths, quantize with it and save the program.

    Args:
        model: As users type it.
        data: A folder or a benchmark's name; only photos that may be calibrated on are used.
        output: The program's folder; the log of candidates is ``OUTPUT.search.jsonl``.
        options: What may be chosen; `SearchOptions`. A budget must be given, here or by name.
        overwrite: Replace a program that is there, and start the log anew.
        out: Where notes and progress go.
        **changes: Fields of `SearchOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit search --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    options, out = changed(SearchOptions, options, changes), out or Feedback()
    hardware, seed, held_out = options.hardware, options.seed, options.held_out
    chosen = parse_widths(options.widths)
    check_place(output, overwrite)
    log = output.with_name(output.name + LOG_SUFFIX)
    loaded = load(model, options)
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
    config = replace(named(options.method), weight_bits=chosen[-1])
    config.check_integer()
    layers = searchable(loaded.config)
    limit = read_budget(
        options.budget, layers, chosen, loaded.config, hardware, log2_softmax=config.softmax == "log2"
    )
    # Before any photo is read: an impossible budget is known at once.
    check({layer.name: dict.fromkeys(chosen, 0.0) for layer in layers}, limit)
    wanted = options.calib_images + held_out
    photos = draw(data, loaded, wanted, seed, options.strict)
    if len(photos) < wanted:
        held_out = max(1, len(photos) * held_out // wanted)
        out.warn(f"{data}: only {len(photos)} photos could be had; {held_out} of them are held out")
    calibration, rest = photos[:-held_out], photos[-held_out:]
    threads = thread_count(options.threads)
    with out.progress() as progress:
        prepared = prepare(
            loaded, calibration, rest, config, chosen, seed=seed, threads=threads, progress=progress
        )
        settings = SearchConfig(
            widths=chosen,
            measure=options.measure,
            coarse=options.coarse,
            fine=options.fine,
            evolution=Evolution(population=options.population, generations=options.generations, seed=seed),
        )
        with open_pool(options.cluster) as pool:
            found = search(
                prepared,
                limit,
                settings,
                log=log,
                overwrite=overwrite,
                threads=threads,
                progress=progress,
                pool=pool,
            )
        mixes = finalists(prepared, limit, found, threads)

        def make(bits: "Bits") -> "QuantizeResult":
            mixed = replace(config, layer_bits=dict(bits))
            return quantize(
                loaded, [calibration], mixed, threads=threads, progress=progress, seed=seed, calibration=data
            )

        place, scores, result = decide(prepared, mixes, make, threads)
    chosen_bits = dict(mixes[place])
    notes = {
        "model": loaded.source,
        "bits": "mixed",
        "method": options.method,
        "calibration_images": result.photos,
    }
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
