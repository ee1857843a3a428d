"""The public functions: ``p2vit.quantize``, ``load``, ``search``, ``simulate``, ``compare``, ``explore``, ``rtl``."""

import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from p2vit.api.feedback import PythonFeedback
from p2vit.api.program import QuantizedProgram
from p2vit.api.results import Cosimulation, Exploration, Result, Simulation, SystemComparison
from p2vit.api.runnable import Progress, StrPath
from p2vit.data.memory import MemoryPhotos, to_photo_source
from p2vit.errors import P2vitError, P2vitWarning
from p2vit.workflows.inputs import OpenProgram, open_program
from p2vit.workflows.module import open_model
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import CompareOptions, ExploreOptions, SimulateOptions
from p2vit.workflows.options.quantize import QuantizeOptions, SearchOptions
from p2vit.workflows.program_folder import SENSITIVITY_FILE

Program = QuantizedProgram | str | os.PathLike[str]


def quantize(
    model: Any,
    photos: Any,
    *,
    preprocessing: Any = None,
    prepared: bool = False,
    progress: Progress = None,
    **options: Any,
) -> QuantizedProgram:
    """Quantize a Vision Transformer to an integer program with power-of-two scales, calibrated on photos.

    Args:
        model: One of

            * a module in memory from timm, transformers or torchvision; it is copied, not changed;
            * a timm name, such as "deit_tiny_patch16_224.fb_in1k", or "hf:ORG/NAME" for the Hugging Face Hub;
            * the path of a weight file (.safetensors, .pth), with ``arch``;
            * a benchmark's model ("dinov2-elpv", "dinov2-textile", "digits"), or "random:ARCH" for random weights.
        photos: Photos to calibrate on: a folder, a benchmark's name, a list of paths or PIL images, a uint8 array
            [N, H, W, 3], a uint8 tensor [N, 3, H, W], or an iterable such as a DataLoader of images or of
            (image, label). ``calib_images`` of them are drawn at random; from an iterable the first ones are taken.
        preprocessing: How photos are prepared, if the module does not say: a `p2vit.Preprocessing`, an image processor
            of transformers, or the transform of torchvision's weights. None: as the model's own configuration says.
        prepared: Whether arrays and tensors already have the model's input size and are used unchanged.
        progress: A function called with (stage, done, total); True for a progress bar, False for none. None: a bar in
            terminals and notebooks.
        **options: The most common ones are

            * ``bits``: bits of weights and activations, "w2a8" to "w8a8" (default "w8a8");
            * ``calib_images``: number of calibration photos (default 32, or 128 for weights of at most 6 bits, or
              all of a shorter list);
            * ``method``: quantization method (default "p2vit"); ``p2vit list`` lists them;
            * ``seed``: random seed (default 0); ``threads``: number of CPU threads (default at most 8);
            * ``strict``: raise an error for a photo that cannot be read, instead of skipping it (default False);
            * ``class_names``, ``class_index``: names of the outputs;
            * ``outputs``: "tokens", "layers=2,5,8,11" or "embedding", beside the logits or features;
            * for a model by name: ``arch``, ``image_size``, ``pool``, ``mean``, ``std``, ``crop_pct`` and others.

            All are the fields of `p2vit.workflows.options.quantize.QuantizeOptions`.

    Returns:
        The program, in memory. The same model, photos and options give the same program and hash.

    Raises:
        ModelError: The model cannot be loaded, is not supported, or does not say how photos are prepared.
        DataError: No photo can be read, or one cannot with ``strict=True``.
        MissingPackageError: torch or the model's library is not installed.
        OptionError: An option does not exist or has a value that is not allowed.

    Warns:
        P2vitWarning: There are fewer photos than asked for, or very few, or some that cannot be read.

    Example:
        >>> import p2vit
        >>> p2vit.quantize("digits", "digits", bits="w4a8", progress=False)
        <QuantizedProgram of digits: 8 x 8 pixels, 10 classes, sha256 ...>
    """
    from p2vit.workflows.class_names import named
    from p2vit.workflows.left_out import say_notes
    from p2vit.workflows.outputs import with_embedding
    from p2vit.workflows.quantize import choose_config, notes_of, photo_count, quantize_loaded

    feedback = PythonFeedback(progress)
    chosen = with_embedding(changed(QuantizeOptions, None, options))
    choose_config(chosen.bits, chosen.method)
    loaded = open_model(model, chosen, preprocessing, feedback)
    loaded = named(loaded, chosen.class_names, chosen.class_index)
    source = to_photo_source(photos, loaded.preprocessing, strict=chosen.strict, prepared=prepared)
    say_notes(source, feedback)
    if "calib_images" not in options and isinstance(source, MemoryPhotos) and source.listed:
        # A caller that lists fewer photos than the default has chosen their number.
        chosen = replace(chosen, calib_images=max(1, min(photo_count(chosen), len(source))))
    result = quantize_loaded(loaded, source, chosen, feedback)
    feedback.warn_skipped(source.skipped)
    notes = notes_of(loaded, result, chosen)
    return QuantizedProgram(OpenProgram(result.program, notes=notes), loaded)


def load(folder: StrPath) -> QuantizedProgram:
    """Load a saved program. Torch is not needed.

    Args:
        folder: Folder that :meth:`QuantizedProgram.save` or ``p2vit quantize`` wrote.

    Returns:
        The program.

    Raises:
        ProgramError: The folder holds no program, or the program is damaged.

    Warns:
        P2vitWarning: The file with the error of each block cannot be read. The program itself is sound.

    Example:
        >>> import p2vit
        >>> q = p2vit.quantize("digits", "digits", progress=False)
        >>> p2vit.load(q.save("out/")).sha256 == q.sha256
        True
    """
    from p2vit.workflows.report import Notes, read_json

    place = Path(folder)
    opened = open_program(place)
    notes: dict[str, Any] = {}
    if (place / SENSITIVITY_FILE).is_file():
        try:
            notes = read_json(place / SENSITIVITY_FILE, Notes, {"blocks"}, "p2vit quantize")
        except P2vitError as error:
            warnings.warn(str(error), P2vitWarning, stacklevel=2)
    return QuantizedProgram(OpenProgram(opened.program, opened.title, notes))


class SearchResult(Result):
    """A mixed-precision program and its scores.

    Attributes:
        bits_per_layer: Weight width of each layer, in bits.
        cost: Cost of these widths, in the unit of the budget.
        sqnr_db: SQNR of the features on held-out calibration photos, in dB.
        candidates: Number of assignments that were scored.
    """

    bits_per_layer: dict[str, int]
    cost: float
    sqnr_db: float
    candidates: int
    _program: QuantizedProgram

    @property
    def program(self) -> QuantizedProgram:
        """The program, quantized with the best widths."""
        return self._program


def search(
    model: Any,
    photos: Any,
    *,
    budget: str,
    log: StrPath | None = None,
    preprocessing: Any = None,
    prepared: bool = False,
    progress: Progress = None,
    **options: Any,
) -> SearchResult:
    """Choose the weight width of each layer within a budget, and quantize the model with these widths.

    Args:
        model: Model to quantize, as for :func:`quantize`.
        photos: Calibration photos, as for :func:`quantize`; ``calib_images`` + ``held_out`` of them are drawn.
        budget: Upper bound: "average-bits=6", "bytes=16M" (packed weights), "bitops=300G", or "latency-ms=8",
            "energy-mj=2" for one photo, modelled on the accelerator ``hardware``.
        log: JSON-lines file for all candidates. A search that was stopped continues from it. None: no file.
        preprocessing: As for :func:`quantize`.
        prepared: As for :func:`quantize`.
        progress: As for :func:`quantize`.
        **options: ``widths`` (default "4,8"), ``hardware``, ``calib_images`` (default 96), ``held_out`` (default 32),
            ``seed``, ``threads``, and the other fields of `p2vit.workflows.options.quantize.SearchOptions`.

    Returns:
        The widths, their scores, and the program.

    Raises:
        P2vitError: The budget is not understood or cannot be kept, or :func:`quantize` raises an error.

    Example:
        >>> import p2vit
        >>> found = p2vit.search("digits", "digits", budget="average-bits=6", fine=False, progress=False)
        >>> found.cost <= 6, found.program.audit().passed
        (True, True)
    """
    from p2vit.workflows.search import search_loaded

    feedback = PythonFeedback(progress)
    chosen = changed(SearchOptions, None, {"budget": budget, **options})
    loaded = open_model(model, chosen, preprocessing, feedback)
    source = to_photo_source(photos, loaded.preprocessing, strict=chosen.strict, prepared=prepared)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "log.jsonl" if log is None else Path(log)
        found = search_loaded(loaded, source, chosen, place, overwrite=False, out=feedback)
    feedback.warn_skipped(source.skipped)
    result = SearchResult.model_validate({**found.report, "seconds": found.seconds})
    program = QuantizedProgram(OpenProgram(found.program, notes=found.notes), loaded)
    result._program = program
    return result


def simulate(model: Program, hardware: str = "paper", **options: Any) -> Simulation:
    """Model the cycles, energy, area and utilization of a model on an accelerator.

    Args:
        model: Name of an architecture (no weights are needed), a program's folder, or a program.
        hardware: Name of an accelerator, such as "paper" or "edge", or the path of a YAML file.
        **options: ``weight_bits`` (4 or 8), ``attention`` ("log2" or "uniform8"), ``batch`` (images at once),
            ``changes`` (figures of the accelerator to change, ``["chunks.mac_array.lines=40"]``), ``method``,
            ``report``, ``trace``, and the other fields of `p2vit.workflows.options.hardware.SimulateOptions`.

    Returns:
        The figures, each with its unit in its name, such as ``latency_ms``. Every figure is modelled, not measured.
        ``model_dump()`` returns the keys that ``p2vit simulate --json`` prints.

    Raises:
        AccelError: The model or the accelerator is unknown.
        OptionError: An option does not exist or has a value that is not allowed.

    Example:
        >>> import p2vit
        >>> found = p2vit.simulate("deit_tiny_patch16_224", "paper")
        >>> found.fits, found.modelled
        (True, True)
    """
    from p2vit.workflows.simulate import run_simulate

    if isinstance(model, QuantizedProgram):
        return model.simulate(hardware, **options)
    found = run_simulate(str(model), hardware, changed(SimulateOptions, None, options))
    return Simulation.model_validate(found)


def compare(models: Sequence[str] = (), hardware: Sequence[str] = (), **options: Any) -> SystemComparison:
    """Compare modelled accelerators with published systems.

    Args:
        models: Names of architectures. Empty: one of each kind that has published figures.
        hardware: Names of accelerators, or paths of YAML files. Empty: "paper", "server" and "fpga".
        **options: ``weight_bits`` (4 or 8), ``gpu`` (file with measured GPU figures), ``plot`` (SVG file to write),
            ``overwrite``.

    Returns:
        One row per system and model. Its ``kind`` is published, modelled or measured, and ``source`` names the source.
        ``model_dump()`` returns the keys that ``p2vit compare --json`` prints.

    Raises:
        AccelError: A model or an accelerator is unknown, or the file with GPU figures cannot be used.
        OptionError: An option does not exist or has a value that is not allowed.

    Example:
        >>> import p2vit
        >>> found = p2vit.compare(["deit_base_patch16_224"], ["paper"])
        >>> sorted({row["kind"] for row in found.rows})
        ['modelled', 'published']
    """
    from p2vit.workflows.compare import run_compare

    return SystemComparison.model_validate(
        run_compare(models, hardware, changed(CompareOptions, None, options))
    )


def explore(model: str, hardware: str = "paper", *, progress: Progress = None, **options: Any) -> Exploration:
    """Search for accelerator designs that suit a model, and return the Pareto front.

    Args:
        model: Name of an architecture (no weights are needed), or a program's folder. A program keeps its own weight
            widths.
        hardware: Accelerator to start from: a name, or the path of a YAML file.
        progress: A function called with (stage, done, total); True for a progress bar, False for none.
        **options: ``objectives`` (figures to minimize), ``budget`` (upper bounds, ``["area_mm2=5"]``), ``points``
            (number of designs to try, default 2000), ``space`` (parameters to vary), ``seed``, ``log``, and the other
            fields of `p2vit.workflows.options.hardware.ExploreOptions`.

    Returns:
        The Pareto front. Every figure is modelled. ``model_dump()`` returns the keys that ``p2vit explore --json``
        prints.

    Raises:
        AccelError: The model, accelerator, space, figure or bound is unknown.
        OptionError: An option does not exist or has a value that is not allowed.

    Example:
        >>> import p2vit
        >>> found = p2vit.explore("digits", objectives=["latency_ms"], points=60, workers=1, progress=False)
        >>> found.pareto[0]["figures"]["latency_ms"] > 0
        True
    """
    from p2vit.workflows.explore import run_explore

    chosen = changed(ExploreOptions, None, options)
    return Exploration.model_validate(run_explore(model, hardware, chosen, out=PythonFeedback(progress)))


def rtl(program: Program, folder: StrPath, photos: Any = "noise", **options: Any) -> Result:
    """Generate the Verilog of an accelerator that runs a program, with a self-checking test bench.

    Args:
        program: A program, or its folder.
        folder: Folder to write.
        photos: Source of the photo for the test vectors: a folder, a benchmark's name, or photos as for
            :func:`quantize`. The first one is used.
        **options: ``hardware`` ("rtl", "rtl-wide", "rtl-small"), ``changes`` (sizes to change, ``["lines=32"]``),
            ``overwrite`` and ``dry_run`` (check only; write nothing).

    Returns:
        The keys of ``p2vit rtl --json`` as attributes: ``folder``, ``modules``, ``files``, ``cycles`` (per photo,
        predicted) and others.

    Raises:
        P2vitError: The program does not fit the accelerator, the folder exists, or a tool is missing.
        OptionError: An option does not exist or has a value that is not allowed.

    Example:
        >>> import p2vit
        >>> q = p2vit.quantize("digits", "digits", progress=False)
        >>> p2vit.rtl(q, "hardware/", hardware="rtl-small").cycles > 0
        True
    """
    return _opened(program).rtl(folder, photos, **options)


def cosim(
    program: Program, photos: Any = "noise", *, progress: Progress = None, **options: Any
) -> Cosimulation:
    """Simulate the accelerator's RTL on photos and compare every layer with a program.

    Args:
        program: A program, or its folder.
        photos: A folder, a benchmark's name, or photos as for :func:`quantize`.
        progress: A function called with (stage, done, total); True for a progress bar, False for none.
        **options: ``hardware``, ``changes``, ``images``, ``latency`` (cycles), ``stall`` (0 to 0.95), ``seed``,
            ``quick``, and ``predict`` (predict the cycles only; needs no simulator).

    Returns:
        Cycles and differing numbers of each layer. ``passed`` is True if all numbers are equal and, without stalls,
        every store completes in the predicted cycle.

    Raises:
        P2vitError: The program does not fit the accelerator, or a tool is missing.
        OptionError: An option does not exist or has a value that is not allowed.

    Example:
        >>> import p2vit
        >>> q = p2vit.quantize("digits", "digits", progress=False)
        >>> p2vit.cosim(q, hardware="rtl-small", predict=True).predicted > 0
        True
    """
    return _opened(program).cosim(photos, progress=progress, **options)


def _opened(program: Program) -> QuantizedProgram:
    """Return the program, loaded if its folder is given."""
    return program if isinstance(program, QuantizedProgram) else load(program)
