"""Options of the workflows that make a program: quantize, search, ablate and demo."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from p2vit.models.options import LoadOptions
from p2vit.workflows.options.base import CHECKED, Options, Positive, Seed, Threads
from p2vit.workflows.options.cluster import SharedOut


@dataclass(frozen=True, config=CHECKED)
class QuantizeOptions(Options, LoadOptions):
    """Options of quantizing a model, beside those of loading it (`LoadOptions`).

    Attributes:
        bits: ``w2a8`` to ``w8a8``: width of the weights; activations have 8 bits.
        method: A method that has an integer program; ``p2vit list`` names them.
        calib_images: Number of calibration photos. None: 32, or 128 for weights of at most 6 bits, whose rounding fits
            itself to the photos.
        seed: Random seed for drawing photos and for ``random:ARCH`` weights.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8. The program does not depend on it.
        strict: Raise an error for a photo that cannot be read, instead of skipping it.
        class_names: Names of the outputs in their order: a file with one per line, or names between commas.
        class_index: Class-index file: the class of each output.
        outputs: Outputs beside the logits or features: ``tokens`` (patch tokens of the last block), ``layers=2,5,8,11``
            (patch tokens of these blocks), ``embedding`` (see ``LoadOptions.embedding``).
        max_drop: Largest allowed share of held-out photos on which program and float model predict different classes,
            in percent. Layers are raised to 8 bits until it holds. None: nothing is compared.
        held_out: Number of further calibration photos to compare on; used with ``max_drop`` only.
    """

    bits: str = "w8a8"
    method: str = "p2vit"
    calib_images: Positive | None = None
    seed: Seed = 0
    threads: Threads = None
    strict: bool = False
    class_names: str | None = None
    class_index: Path | None = None
    outputs: str | tuple[str, ...] = ()
    max_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    held_out: Positive = 128


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class SearchOptions(SharedOut, LoadOptions):
    """Options of a mixed-precision search, beside those of loading the model and of sharing out the work.

    Attributes:
        budget: ``average-bits=6``, ``bytes=16M``, ``bitops=300G``, ``latency-ms=8`` or ``energy-mj=2``.
        hardware: Accelerator that the last two are modelled on; ``paper`` if not given.
        widths: Bits that a layer's weights may have, from 2 to 8, separated by commas.
        method: A method that has an integer program.
        calib_images: Number of calibration photos.
        held_out: Further calibration photos, to score candidates on.
        measure: Sensitivity of the coarse step, by output error or by Hessian trace.
        coarse: Start from the exact solution for that sensitivity.
        fine: Refine by evolution.
        population: Candidates that survive a generation.
        generations: Generations of the evolution.
        seed: Random seed for drawing photos, for the evolutionary search and for ``random:ARCH`` weights.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8. The result does not depend on it.
        strict: Raise an error for a photo that cannot be read, instead of skipping it.
    """

    budget: str
    hardware: str | None = None
    widths: str = "4,8"
    method: str = "p2vit"
    calib_images: Positive = 96
    held_out: Positive = 32
    measure: Literal["direct", "hessian"] = "direct"
    coarse: bool = True
    fine: bool = True
    population: Positive = 25
    generations: Annotated[int, Field(ge=0)] = 8
    seed: Seed = 0
    threads: Threads = None
    strict: bool = False


@dataclass(frozen=True, config=CHECKED)
class AblateOptions(SharedOut, LoadOptions):
    """Options of the table of methods, beside those of loading the model and of sharing out its rows.

    Attributes:
        bits: ``w2a8`` to ``w8a8``: bits of weights and activations.
        rows: Parts of the names of rows to measure; empty for all.
        calib_images: Number of calibration photos.
        limit: Measure only on the first photos, this many; None for all.
        seed: Random seed for drawing photos and for ``random:ARCH`` weights.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
    """

    bits: str = "w8a8"
    rows: tuple[str, ...] = ()
    calib_images: Positive = 32
    limit: Positive | None = None
    seed: Seed = 0
    threads: Threads = None


@dataclass(frozen=True, config=CHECKED)
class DemoOptions(Options):
    """Options of the demonstration.

    Attributes:
        benchmark: Whose model and photos are used.
        bits: ``w2a8`` to ``w8a8``: bits of weights and activations.
        calib_images: Number of calibration photos.
        limit: Use only the first photos, this many; None for all.
        seed: Random seed for drawing photos.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
    """

    benchmark: Literal["elpv", "textile", "digits"] = "elpv"
    bits: str = "w8a8"
    calib_images: Positive = 32
    limit: Positive | None = None
    seed: Seed = 0
    threads: Threads = None
