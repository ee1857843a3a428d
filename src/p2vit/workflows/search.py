"""``p2vit search``: choose the weight width of each layer within a budget, and quantize the model with it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from p2vit.cluster import open_pool
from p2vit.errors import DataError, P2vitError
from p2vit.files import one_writer
from p2vit.program.format import program_sha256
from p2vit.program.graph import IntegerProgram
from p2vit.text import is_number
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.inputs import data_name, open_data
from p2vit.workflows.left_out import say_notes, say_skipped
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.quantize import SearchOptions
from p2vit.workflows.plain import to_json
from p2vit.workflows.program_folder import check_place, write_program
from p2vit.workflows.quantize import load
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from p2vit.data.source import PhotoSource
    from p2vit.models.loaded import FloatModel
    from p2vit.quant.api import QuantizeResult
    from p2vit.quant.search.cost import Bits

#: File with the result in the program's folder, and suffix of the log beside that folder.
RESULT_FILE, LOG_SUFFIX = "search.json", ".search.jsonl"


def parse_widths(text: str) -> tuple[int, ...]:
    """Read widths such as ``4,8``, in bits.

    Raises:
        P2vitError: A part is not a whole number from 2 to 8.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(is_number(part) and 2 <= int(part) <= 8 for part in parts):
        raise P2vitError(f"--widths {text!r} is not understood; write widths from 2 to 8, e.g. 4,8")
    return tuple(sorted({int(part) for part in parts}))


@one_writer("output")
def run_search(
    model: "str | FloatModel",
    data: "str | PhotoSource",
    output: Path,
    options: SearchOptions | None = None,
    *,
    overwrite: bool = False,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Choose the width of each layer, quantize the model with these widths, and save the program.

    Args:
        model: Name of the model, as on the command line.
        data: A folder or a benchmark's name. Only calibration photos are used.
        output: Folder for the program. The log of the candidates is ``OUTPUT.search.jsonl``.
        options: `SearchOptions`. A budget must be given, here or as a keyword.
        overwrite: Replace an existing program, and start a new log.
        out: Receives notes and progress.
        **changes: Fields of `SearchOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit search --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    options, out = changed(SearchOptions, options, changes), out or Feedback()
    parse_widths(options.widths)
    check_place(output, overwrite)
    named_output = output if output.name not in ("", "..") else output.resolve()
    log = named_output.with_name(named_output.name + LOG_SUFFIX)
    loaded = load(model, options, out)
    from p2vit.quant.search.journal import check_log

    check_log(log, overwrite)
    found = search_loaded(loaded, data, options, log, overwrite=overwrite, out=out)
    beside = {RESULT_FILE: to_json(found.report) + "\n"}
    write_program(found.program, output, overwrite=overwrite, notes=found.notes, more=beside)
    return {**found.report, "file": str(output), "log": str(log), "seconds": found.seconds}


@dataclass(frozen=True)
class Found:
    """Result of a search.

    Attributes:
        program: The program, quantized with the best widths.
        report: Widths, cost and scores, as in ``search.json``.
        notes: Content of the sensitivity file beside the program.
        seconds: Wall-clock seconds per stage.
    """

    program: IntegerProgram
    report: dict[str, Any]
    notes: dict[str, Any]
    seconds: dict[str, float]


def search_loaded(
    loaded: "FloatModel",
    data: "str | PhotoSource",
    options: SearchOptions,
    log: Path,
    *,
    overwrite: bool,
    out: Feedback,
) -> Found:
    """Choose the widths for a model that is in memory, and quantize it with them. Write only the log.

    Args:
        loaded: The float model.
        data: A folder, a benchmark's name, or open photos.
        options: Options; those for loading a model are not used.
        log: File for all candidates. A search that was stopped continues from it.
        overwrite: Start a new log.
        out: Receives warnings and progress.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.quant.api import quantize
    from p2vit.quant.config import method as named
    from p2vit.quant.search.coarse import check
    from p2vit.quant.search.finalists import decide, finalists
    from p2vit.quant.search.fine import Evolution
    from p2vit.quant.search.layers import searchable
    from p2vit.quant.search.run import SearchConfig, prepare, search
    from p2vit.workflows.budget import read_budget

    if loaded.config.embedding_dim:
        raise P2vitError(
            f"{loaded.source}: search does not take models with an image embedding (--classes, --output embedding); "
            "quantize it with one width for all layers, e.g. --bits w8a8"
        )

    hardware, seed, held_out = options.hardware, options.seed, options.held_out
    chosen, name = parse_widths(options.widths), data_name(data)
    config = replace(named(options.method), weight_bits=chosen[-1])
    config.check_integer()
    layers = searchable(loaded.config)
    limit = read_budget(
        options.budget, layers, chosen, loaded.config, hardware, log2_softmax=config.softmax == "log2"
    )
    if limit.whole is not None and config.softmax == "auto":
        # The modelled cost depends on the form of the codes, so it must be known before calibration.
        config = replace(config, softmax="linear")
    # Refuse an impossible budget before any photo is read.
    check({layer.name: dict.fromkeys(chosen, 0.0) for layer in layers}, limit)
    wanted = options.calib_images + held_out
    photos = draw(data, loaded, wanted, seed, options.strict, out)
    if len(photos) < wanted:
        held_out = max(1, len(photos) * held_out // wanted)
        out.warn(f"{name}: there are only {len(photos)} photos; {held_out} of them are held out for scoring")
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
                loaded, [calibration], mixed, threads=threads, progress=progress, seed=seed, calibration=name
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
    return Found(result.program, report, notes, found.seconds | {"final": result.seconds})


def draw(
    data: "str | PhotoSource", model: "FloatModel", count: int, seed: int, strict: bool, out: Feedback
) -> "NDArray[np.uint8]":
    """Return calibration photos, uint8 [photos, H, W, 3].

    Raises:
        DataError: Fewer than two photos can be read.
    """
    source = open_data(data, model.preprocessing, strict=strict)
    say_notes(source, out)
    batches = list(source.calibration(count, seed))
    say_skipped(source, out)
    if sum(map(len, batches)) < 2:
        raise DataError(f"{source.name}: a search needs at least 2 photos, one of them for scoring")
    return np.concatenate(batches)
