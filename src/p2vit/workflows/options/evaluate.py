"""Options of the workflows that run a program on photos: eval, verify, run, report and reproduce."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from p2vit.workflows.options.base import CHECKED, Options, Positive, Seed, Threads
from p2vit.workflows.options.cluster import SharedOut

Readers = Annotated[int, Field(ge=0, le=256)] | None


@dataclass(frozen=True, config=CHECKED)
class EvaluateOptions(SharedOut):
    """Options of measuring a program, beside those of sharing out the photos.

    Attributes:
        model: Float model to compare with, instead of the one that was quantized.
        arch: Architecture of a weight file.
        no_float: Do not run the float model.
        no_cache: Run the float model also on photos whose outputs are in the cache, and store nothing there.
        labels: File with the photos' labels, instead of one subfolder per class.
        class_index: Class-index file: the class of each output.
        feature: Also judge features: cosine similarity, and k-NN accuracy where there is a gallery.
        gallery: Labelled photos that vote; a benchmark's own training half if not given.
        neighbours: How many of them vote.
        backend: Back-end that runs the program: ``auto``, ``native``, ``torch``, ``reference`` or ``onnx``.
        device: Device of the back-end: ``cpu``, ``cuda`` or ``cuda:N``.
        limit: Use only the first photos, this many; None for all.
        batch_size: Number of photos per batch.
        readers: Number of threads that read photos in advance; as ``threads`` if None.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
        strict: Raise an error for a photo that cannot be read, instead of skipping it.
        csv: File to append one row to.
        per_class: File for the table of classes.
        overwrite: Replace an existing ``per_class`` file.
    """

    model: str | None = None
    arch: str | None = None
    no_float: bool = False
    no_cache: bool = False
    labels: Path | None = None
    class_index: Path | None = None
    feature: bool = False
    gallery: str | None = None
    neighbours: Positive = 20
    backend: str = "auto"
    device: str = "cpu"
    limit: Positive | None = None
    batch_size: Positive = 8
    readers: Readers = None
    threads: Threads = None
    strict: bool = False
    csv: Path | None = None
    per_class: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, config=CHECKED)
class VerifyOptions(Options):
    """Options of comparing back-ends.

    Attributes:
        backends: Names, separated by commas; all are compared with the first.
        images: Photos.
        data: Folder of photos, or a benchmark's name.
        batch: Photos per batch.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
        device: Device of the back-ends that can run on a GPU: ``cpu``, ``cuda`` or ``cuda:N``.
    """

    backends: str = "reference,torch"
    images: Positive = 8
    data: str = "noise"
    batch: Positive = 2
    threads: Threads = None
    device: str = "cpu"


@dataclass(frozen=True, config=CHECKED)
class RunOptions(Options):
    """Options of running photos through a program.

    Attributes:
        backend: Back-end that runs the program: ``auto``, ``native``, ``torch``, ``reference`` or ``onnx``.
        strict: Raise an error for a photo that cannot be read, instead of skipping it.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
        class_names: Names of the outputs, only to show: a file with one per line, or names between commas.
        class_index: The same from a class-index file.
    """

    backend: str = "auto"
    strict: bool = False
    threads: Threads = None
    class_names: str | None = None
    class_index: Path | None = None


@dataclass(frozen=True, config=CHECKED)
class ReportOptions(Options):
    """Options of the page about a program.

    Attributes:
        data: Measure accuracy on these photos: a folder, or a benchmark's name.
        evaluation: What ``p2vit eval --json`` printed, instead of measuring again.
        thumbnails: Show the photos on which program and float model differ most; otherwise only their names.
        limit: Use only the first photos, this many; None for all.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
    """

    data: str | None = None
    evaluation: Path | None = None
    thumbnails: bool = False
    limit: Positive | None = None
    threads: Threads = None


@dataclass(frozen=True, config=CHECKED)
class ReproduceOptions(SharedOut):
    """Options of measuring published models on ImageNet, beside those of sharing out the photos.

    Attributes:
        data: ImageNet's validation photos; without them nothing is measured.
        calib_data: Other photos, to calibrate on.
        models: Patterns of models; all published ones if empty.
        bits: ``w8a8`` and the like.
        method: A method that has an integer program.
        calib_images: Number of calibration photos.
        weights: Folder with weight files by timm's names.
        labels: File with the labels of ``data``.
        class_index: Class-index file: the class of each output.
        output: Folder for the journal and the programs; a run that was stopped goes on there.
        backend: Back-end that runs the programs.
        limit: Use only the first photos, this many; None for all.
        batch_size: Number of photos per batch.
        readers: Number of threads that read photos in advance; as ``threads`` if None.
        seed: Random seed for drawing photos.
        threads: Number of CPU threads; if None, the number of CPUs, at most 8.
    """

    data: Path | None = None
    calib_data: Path | None = None
    models: tuple[str, ...] = ()
    bits: tuple[str, ...] = ("w8a8", "w4a8")
    method: str = "p2vit"
    calib_images: Positive = 32
    weights: Path | None = None
    labels: Path | None = None
    class_index: Path | None = None
    output: Path = Path("out/reproduce")
    backend: str = "auto"
    limit: Positive | None = None
    batch_size: Positive = 8
    readers: Readers = None
    seed: Seed = 0
    threads: Threads = None
