"""``p2vit eval``: measure the accuracy of an integer program and of its float model."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.engine.registry import open_backend
from p2vit.errors import P2vitError
from p2vit.files import check_output, one_writer, write_text
from p2vit.workflows.evaluate_shares import shared_out
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.float_model import float_predict, has_torch, reload_float
from p2vit.workflows.inputs import OpenProgram, data_name, open_data, open_program
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import EvaluateOptions
from p2vit.workflows.threads import thread_count, torch_threads

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource
    from p2vit.evaluate.records import Predict
    from p2vit.evaluate.world import World
    from p2vit.models.loaded import FloatModel
    from p2vit.program.graph import IntegerProgram


@one_writer("per_class")
def run_eval(
    program: Path | OpenProgram,
    data: "str | PhotoSource",
    options: EvaluateOptions | None = None,
    *,
    out: Feedback | None = None,
    world: Any = None,
    reference: "FloatModel | None" = None,
    **changes: Any,
) -> dict[str, Any]:
    """Measure a program on photos.

    Args:
        program: Folder of the program, or a loaded program.
        data: A folder, a benchmark's name, or open photos.
        options: Options; the defaults of `EvaluateOptions` if None.
        out: Receives notes and progress.
        world: The processes that share the photos; only this one if None.
        reference: The float model, if it is in memory. None: load it again by its name.
        **changes: Fields of `EvaluateOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit eval --json``; the same figures in every process.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.data.class_index import read_class_index
    from p2vit.evaluate.accuracy import executor_predict
    from p2vit.evaluate.eval_table import append_row, check_table, class_table, eval_row
    from p2vit.evaluate.evaluation import Job, evaluate_photos
    from p2vit.evaluate.features import open_gallery
    from p2vit.evaluate.float_cache import CachedFloat
    from p2vit.evaluate.world import World
    from p2vit.program.format import program_sha256

    options = changed(EvaluateOptions, options, changes)
    csv, per_class, gallery, feature = options.csv, options.per_class, options.gallery, options.feature
    world = world or World()
    first = world.rank == 0
    out = (out or Feedback()) if first else Feedback()
    if csv is not None and first:
        check_table(csv)
    if per_class is not None and first:
        check_output(per_class, options.overwrite)
    if gallery is not None and not feature:
        raise P2vitError("--gallery is for k-NN accuracy, which needs --feature; add --feature")
    opened = open_program(program)
    loaded = opened.program
    index = None if options.class_index is None else read_class_index(options.class_index)
    photos = open_data(data, loaded.preprocessing, strict=options.strict, labels=options.labels)
    name = data_name(data)
    if feature and gallery is None and hasattr(photos, "train"):
        gallery = name
    voters = open_gallery(gallery, name, loaded.preprocessing) if gallery is not None else None
    notes, exact, source = [], None, None
    if not options.no_float and not has_torch():
        notes.append("torch is not installed, so the float model cannot run: pip install 'p2vit[quant]'")
    elif not options.no_float:
        exact, reference, source = _float_side(loaded, options, reference, world)
    used = options.threads or max(1, thread_count(None) // world.local_size)
    backend, executor = open_backend(options.backend, loaded, used, out.warn, options.device)
    readers = options.readers
    if options.engine == "local" and options.workers is not None:
        out.note(
            "--workers without a cluster sets the threads that read photos in advance; use --readers instead"
        )
        readers = options.workers if readers is None else readers
    start = time.perf_counter()
    with (
        out.progress() as progress,
        shared_out(options, loaded, backend, reference if exact is not None else None) as elsewhere,
    ):
        job = Job(
            program=loaded,
            predict=executor_predict(loaded, executor, maps=feature),
            exact=exact,
            batch_size=options.batch_size,
            workers=used if readers is None else readers,
            threads=used,
            prepare=lambda: torch_threads(1),
            world=world,
            progress=progress,
            elsewhere=elsewhere,
        )
        found, figures, skipped = evaluate_photos(
            job,
            photos,
            limit=options.limit,
            index=index,
            feature=feature,
            gallery=voters,
            k=options.neighbours,
        )
    seconds = time.perf_counter() - start
    from_cache = exact.hits if isinstance(exact, CachedFloat) else 0
    if isinstance(exact, CachedFloat):
        exact.cache.trim()
    if from_cache:
        out.note(
            f"the float model's outputs for {from_cache} photos are those of an earlier run; "
            "--no-cache computes them again"
        )
    result = found.model_dump()
    result["notes"] = notes + result["notes"]
    result |= {
        "feature": None if figures is None else figures.model_dump(),
        "data": name,
        "model": source,
        "float_from_cache": sum(world.gather(from_cache)),
        "backend": backend,
        "device": options.device,
        "threads": used,
        "processes": world.size,
        "program": opened.title,
        "program_sha256": program_sha256(loaded),
        "evaluation_seconds": round(seconds, 2),
        "skipped": [{"file": file, "reason": reason} for _, file, reason in skipped],
    }
    if csv is not None and first:
        append_row(csv, eval_row(loaded, result))
    if per_class is not None and first:
        write_text(per_class, class_table(result["per_class"]), options.overwrite)
    return result


def _float_side(
    program: "IntegerProgram", options: EvaluateOptions, reference: "FloatModel | None", world: "World"
) -> "tuple[Predict, FloatModel | None, str]":
    """Return the float model's function from pixels to outputs, the model if it is loaded, and its source.

    With the cache a model that the program names is loaded only if a batch is not in the cache.
    """
    from p2vit.evaluate.float_cache import CachedFloat, float_cache

    cache = None if options.no_cache or (options.feature and program.maps) else float_cache()
    provenance = program.provenance
    named = reference is None and options.model is None and options.arch is None
    if cache is not None and named and world.size == 1 and options.engine == "local":
        recorded = {key: provenance.get(key) for key in ("source", "weights_sha256", "architecture", "load")}
        if all(isinstance(recorded[key], str) for key in ("source", "weights_sha256")):
            size = {"image_size": program.preprocessing.image_size}
            late = CachedFloat(cache, recorded | size, lambda: float_predict(reload_float(program)))
            return late, None, str(recorded["source"])
    if reference is None or options.model is not None:
        reference = reload_float(program, options.model, options.arch)
    plain: Predict = float_predict(reference, program.maps if options.feature else ())
    if cache is None or options.engine != "local":
        return plain, reference, reference.source
    identity = {"weights_sha256": reference.sha256, "config": repr(reference.config)}
    return CachedFloat(cache, identity, lambda: plain), reference, reference.source
