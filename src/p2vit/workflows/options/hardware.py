"""Options of the workflows about accelerators: simulate, compare, explore, rtl, cosim and synth."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from p2vit.workflows.options.base import CHECKED, Options, Positive, Seed
from p2vit.workflows.options.cluster import SharedOut


@dataclass(frozen=True, config=CHECKED)
class SimulateOptions(Options):
    """Options of simulating a model on an accelerator.

    Attributes:
        method: ``closed_form``; ``events`` walks the tiles (a trace or a report always does); ``descriptors`` gives
            the exact cycles of the RTL, for a program and a machine that exists as RTL.
        weight_bits: Width of every linear layer's weights.
        batch: Images that a machine of chunks or a single engine processes at once.
        attention: ``log2`` codes on the shifters, or ``uniform8`` codes on the MACs.
        inter_layer: Overlap operations; as the machine's description says if not given.
        intra_layer: Hide re-quantization; as the machine's description says if not given.
        changes: Figures of the machine's description to change, as ``key=value``; not with ``descriptors``.
        trace: Perfetto trace to write, JSON.
        report: HTML file to write.
        overwrite: Replace existing files.
    """

    method: Literal["closed_form", "events", "descriptors"] = "closed_form"
    weight_bits: Literal[4, 8] = 8
    batch: Annotated[int, Field(ge=1, le=4096)] = 1
    attention: Literal["log2", "uniform8"] = "log2"
    inter_layer: bool | None = None
    intra_layer: bool | None = None
    changes: tuple[str, ...] = ()
    trace: Path | None = None
    report: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, config=CHECKED)
class CompareOptions(Options):
    """Options of putting modelled accelerators beside published systems.

    Attributes:
        weight_bits: Width of every linear layer's weights, on the modelled machines.
        gpu: Figures measured on a GPU, as ``scripts/measure_gpu.py`` writes them.
        plot: SVG file of the latencies to write.
        overwrite: Replace an existing file.
    """

    weight_bits: Literal[4, 8] = 8
    gpu: Path | None = None
    plot: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, config=CHECKED)
class ExploreOptions(SharedOut):
    """Options of searching accelerators for a model, beside those of sharing out the work.

    Attributes:
        space: What may change: a shipped search space or a YAML file; ``rtl`` for a machine that can be generated and
            else ``chunks``, if not given.
        budget: Upper bounds as ``figure=number``, over those of the space.
        objectives: Figures to make small; the space's if empty.
        points: Points to propose.
        seed: Random seed of the optimiser.
        log: JSON-lines file to append to and to resume from.
    """

    space: str | None = None
    budget: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    points: Positive = 2000
    seed: Seed = 0
    log: Path | None = None


@dataclass(frozen=True, config=CHECKED)
class RtlOptions(Options):
    """Options of generating an accelerator.

    Attributes:
        hardware: ``rtl``, ``rtl-wide`` or ``rtl-small``.
        changes: Sizes of the accelerator to change, as ``key=number``.
        data: Where the photo of the test vectors comes from: a folder, or a benchmark's name.
        overwrite: Replace an existing folder.
        dry_run: Only check the machine and compile the program for it; write nothing.
    """

    hardware: str = "rtl"
    changes: tuple[str, ...] = ()
    data: str = "noise"
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True, config=CHECKED)
class CosimOptions(Options):
    """Options of running the RTL against a program.

    Attributes:
        hardware: ``rtl``, ``rtl-wide`` or ``rtl-small``; ``chunk``, ``chunk-wide`` or ``chunk-small``.
        changes: Sizes of the accelerator to change, as ``key=number``.
        images: Photos.
        data: A folder, or a benchmark's name.
        latency: Cycles from a read request to its answer, 1 to 1000; 8 if not given.
        stall: Share of cycles in which memory and descriptors stall, at random; 0 to 0.95.
        seed: Random seed of the stalls.
        quick: Compile the simulation with less optimisation; it runs slower.
        predict: Only the timing model: no photo, no simulation, no tool needed.
    """

    hardware: str = "rtl"
    changes: tuple[str, ...] = ()
    images: Positive = 1
    data: str = "noise"
    latency: Annotated[int, Field(ge=1, le=1000)] | None = None
    stall: Annotated[float, Field(ge=0, le=0.95)] = 0.0
    seed: Seed = 0
    quick: bool = False
    predict: bool = False


@dataclass(frozen=True, config=CHECKED)
class SynthOptions(Options):
    """Options of synthesising the hardware modules.

    Attributes:
        liberty: Standard-cell library; Debian's osu018 if it is installed, else generic gates.
        designs: Names of designs; all if empty.
        ecp5: Place and route on a Lattice ECP5 too.
        base: Technology table for what synthesis does not give.
        node_nm: Node of the library in nm; 180 for osu018, else the base table's, if not given.
        overwrite: Replace existing files.
    """

    liberty: Path | None = None
    designs: tuple[str, ...] = ()
    ecp5: bool = False
    base: str = "horowitz45"
    node_nm: Annotated[float, Field(ge=1)] | None = None
    overwrite: bool = False
