"""The functions of ``import p2vit``."""

import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from p2vit.api.program import Progress, QuantizedProgram, StrPath
from p2vit.api.results import Cosimulation, Exploration, Result, Simulation, SystemComparison
from p2vit.api.talk import Talk
from p2vit.data.held import HeldPhotos, hold
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
    progress: Progress = None,
    **options: Any,
) -> QuantizedProgram:
    """Quantize a Vision Transformer to integers with power-of-two scales, calibrated on photos.

    Args:
        model: A name or path as on the command line (a timm name, ``hf:ORG/NAME``, a weight file, a benchmark's model,
            ``random:ARCH``), or a module in memory from timm, transformers or torchvision, in any mode: it is copied.
        photos: To calibrate on, 16 to 64 are usual: a folder, a benchmark's name, a list of paths, PIL images, a uint8
            array [N, H, W, 3], a uint8 tensor [N, 3, H, W], or an iterable such as a DataLoader of images or of
            (image, label). ``calib_images`` of them are drawn at random, 32 unless it is given or fewer are listed; of
            an iterable the first ones are taken.
        preprocessing: What photos go through before a module whose own configuration does not say so: a
            `p2vit.Preprocessing`, an image processor of transformers, or the transform of torchvision's weights.
        progress: Called with (stage, done, total); True for a bar, False for none. Default: a bar in terminals and
            notebooks.
        **options: Fields of `QuantizeOptions`: ``bits``, ``method``, ``calib_images``, ``seed``, ``threads``,
            ``strict``, ``outputs``; and those of loading a model by name: ``arch``, ``image_size`` and the like.

    Returns:
        The program, in memory. The same model, photos and options give the same program, by its hash.

    Raises:
        ModelError: the model cannot be had, is not supported, or does not say how photos are prepared.
        DataError: no photo can be read.
        MissingPackageError: torch or the model's library is not installed.
        OptionError: an unknown option, or a value that is not allowed.

    Warns:
        P2vitWarning: fewer photos than asked for, very few photos, or photos that could not be read.

    Example:
        >>> import p2vit
        >>> p2vit.quantize("digits", "digits", bits="w4a8", progress=False)
        <QuantizedProgram of digits: 8 x 8 pixels, 10 classes, sha256 ...>
    """
    from p2vit.workflows.class_names import named
    from p2vit.workflows.left_out import say_notes
    from p2vit.workflows.outputs import with_embedding
    from p2vit.workflows.quantize import choose_config, notes_of, quantize_loaded

    talk = Talk(progress)
    chosen = with_embedding(changed(QuantizeOptions, None, options))
    choose_config(chosen.bits, chosen.method)
    loaded = open_model(model, chosen, preprocessing, talk)
    loaded = named(loaded, chosen.class_names, chosen.class_index)
    source = hold(photos, loaded.preprocessing, strict=chosen.strict)
    say_notes(source, talk)
    if "calib_images" not in options and isinstance(source, HeldPhotos) and source.listed:
        # Who lists a few photos has said how many there are.
        chosen = replace(chosen, calib_images=max(1, min(chosen.calib_images, len(source))))
    result = quantize_loaded(loaded, source, chosen, talk)
    talk.warn_skipped(source.skipped)
    notes = notes_of(loaded, result, chosen)
    return QuantizedProgram(OpenProgram(result.program, notes=notes), loaded)


def load(folder: StrPath) -> QuantizedProgram:
    """Read a program that was saved; torch is not needed.

    Args:
        folder: What :meth:`QuantizedProgram.save` or ``p2vit quantize`` wrote.

    Returns:
        The program.

    Raises:
        ProgramError: there is none, or it is damaged.

    Warns:
        P2vitWarning: the notes beside the program cannot be read; the program itself is sound.

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
    """A mixed-precision program and how it was found.

    Attributes:
        bits_per_layer: Width of each layer's weights.
        cost: What the budget counts, for this mix.
        sqnr_db: SQNR of the feature on held-out calibration photos, in dB.
        candidates: Mixes that were scored.
    """

    bits_per_layer: dict[str, int]
    cost: float
    sqnr_db: float
    candidates: int
    _program: QuantizedProgram

    @property
    def program(self) -> QuantizedProgram:
        """The program of the best mix."""
        return self._program


def search(
    model: Any,
    photos: Any,
    *,
    budget: str,
    log: StrPath | None = None,
    preprocessing: Any = None,
    progress: Progress = None,
    **options: Any,
) -> SearchResult:
    """Give each layer its own width within a budget, and quantize a model so.

    Args:
        model: As for :func:`quantize`.
        photos: As for :func:`quantize`; ``calib_images`` + ``held_out`` of them are drawn.
        budget: ``average-bits=6``, ``bytes=16M``, ``bitops=300G``, ``latency-ms=8`` or ``energy-mj=2``.
        log: JSON-lines file of all candidates; a search that was stopped goes on from it. None keeps none.
        preprocessing: As for :func:`quantize`.
        progress: As for :func:`quantize`.
        **options: Fields of `SearchOptions`.

    Returns:
        The widths, their scores, and the program.

    Raises:
        P2vitError: a budget that is not understood or cannot be kept, and what :func:`quantize` raises.

    Example:
        >>> import p2vit
        >>> found = p2vit.search("digits", "digits", budget="average-bits=6", fine=False, progress=False)
        >>> found.cost <= 6, found.program.audit().passed
        (True, True)
    """
    from p2vit.workflows.search import search_loaded

    talk = Talk(progress)
    chosen = changed(SearchOptions, None, {"budget": budget, **options})
    loaded = open_model(model, chosen, preprocessing, talk)
    source = hold(photos, loaded.preprocessing, strict=chosen.strict)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "log.jsonl" if log is None else Path(log)
        found = search_loaded(loaded, source, chosen, place, overwrite=False, out=talk)
    talk.warn_skipped(source.skipped)
    result = SearchResult.model_validate({**found.report, "seconds": found.seconds})
    program = QuantizedProgram(OpenProgram(found.program, notes=found.notes), loaded)
    result._program = program
    return result


def simulate(model: Program, hardware: str = "paper", **options: Any) -> Simulation:
    """Cycles, energy, area and utilisation of a model on an accelerator. Every figure is modelled.

    Args:
        model: An architecture's name (no weights are needed), a program's folder, or a program.
        hardware: The name of a machine, or a YAML file.
        **options: Fields of `SimulateOptions`; for instance ``changes=["chunks.mac_array.lines=40"]``.

    Returns:
        The figures, each with its unit in its name; ``model_dump()`` is what ``p2vit simulate --json`` prints.

    Raises:
        AccelError: an unknown model or machine.
        OptionError: an unknown option.

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
    """Modelled accelerators beside published systems; each figure says where it comes from.

    Args:
        models: Architectures; one of each kind that figures are published of, if empty.
        hardware: Names of machines, or YAML files; ``paper``, ``server`` and ``fpga`` if empty.
        **options: Fields of `CompareOptions`: ``weight_bits``, ``gpu``, ``plot``, ``overwrite``.

    Returns:
        The rows; ``model_dump()`` is what ``p2vit compare --json`` prints.

    Raises:
        AccelError: an unknown model or machine, or a file of measured figures that cannot be used.
        OptionError: an unknown option.

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
    """Search better accelerators for a model, to a Pareto front. Every figure is modelled.

    Args:
        model: An architecture's name; no weights are needed. Or a program's folder; a program has its own bits.
        hardware: Where to start from: the name of a machine, or a YAML file.
        progress: Called with (stage, done, total); True for a bar, False for none.
        **options: Fields of `ExploreOptions`.

    Returns:
        The front; ``model_dump()`` is what ``p2vit explore --json`` prints.

    Raises:
        AccelError: an unknown model, machine, space, figure or bound.
        OptionError: an unknown option.

    Example:
        >>> import p2vit
        >>> found = p2vit.explore("digits", objectives=["latency_ms"], points=60, workers=1, progress=False)
        >>> found.pareto[0]["figures"]["latency_ms"] > 0
        True
    """
    from p2vit.workflows.explore import run_explore

    chosen = changed(ExploreOptions, None, options)
    return Exploration.model_validate(run_explore(model, hardware, chosen, out=Talk(progress)))


def rtl(program: Program, folder: StrPath, photos: Any = "noise", **options: Any) -> Result:
    """Generate an accelerator in Verilog with a program to run, and a bench that checks itself.

    Args:
        program: A program, or its folder.
        folder: To write.
        photos: The first one is the test's; a folder, a benchmark's name, or photos as for :func:`quantize`.
        **options: Fields of `RtlOptions`: ``hardware``, ``changes``, ``overwrite``, ``dry_run``.

    Returns:
        ``folder``, ``modules``, ``files``, ``cycles`` and the like.

    Raises:
        P2vitError: a program that the machine cannot hold, a folder that exists, or a tool that is missing.
        OptionError: an unknown option.

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
    """Run photos through the accelerator's RTL and compare every layer with a program.

    Args:
        program: A program, or its folder.
        photos: A folder, a benchmark's name, or photos as for :func:`quantize`.
        progress: Called with (stage, done, total); True for a bar, False for none.
        **options: Fields of `CosimOptions`; ``predict=True`` only asks the timing model, and needs no tool.

    Returns:
        Cycles and differences per layer; ``passed`` says whether everything is as predicted.

    Raises:
        P2vitError: a program that the machine cannot hold, or a tool that is missing.
        OptionError: an unknown option.

    Example:
        >>> import p2vit
        >>> q = p2vit.quantize("digits", "digits", progress=False)
        >>> p2vit.cosim(q, hardware="rtl-small", predict=True).predicted > 0
        True
    """
    return _opened(program).cosim(photos, progress=progress, **options)


def _opened(program: Program) -> QuantizedProgram:
    """A program, or the program of a folder."""
    return program if isinstance(program, QuantizedProgram) else load(program)
