"""Options of the workflows about other runtimes: export and bench."""

from pathlib import Path

from pydantic.dataclasses import dataclass

from p2vit.export.run import ExportForm
from p2vit.workflows.options.base import CHECKED, Options, Positive, Seed


@dataclass(frozen=True, config=CHECKED)
class ExportOptions(Options, ExportForm):
    """Options of writing a program in another format, beside those of the format itself (`ExportForm`).

    Attributes:
        data: Photos to run both sides on, or to write: ``noise``, a folder, or a benchmark's name.
        images: How many of them.
        seed: Random seed of the noise.
        overwrite: Replace existing files.
    """

    data: str = "noise"
    images: Positive = 2
    seed: Seed = 0
    overwrite: bool = False


@dataclass(frozen=True, config=CHECKED)
class BenchOptions(Options):
    """Options of timing a program beside other runtimes.

    Attributes:
        against: Peers, separated by commas; empty for none.
        batches: Images per call, separated by commas.
        threads: Most CPU threads, for everybody.
        rounds: Turns of each runtime.
        cache: Folder for the peers' models.
        isa: Instruction set of the native engine; the best one if None.
        profile: Also where our time goes, per operator.
    """

    against: str = "openvino,onnxruntime"
    batches: str = "1,8"
    threads: Positive = 2
    rounds: Positive = 20
    cache: Path = Path("out/bench")
    isa: str | None = None
    profile: bool = False
