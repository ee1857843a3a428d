"""Units of work: the loads of one run of an engine, the run, and the store of its results."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2vit.rtl.compile.layout import TensorLayout
from p2vit.rtl.compile.memory import MemoryImage
from p2vit.rtl.top.descriptor import Kind
from p2vit.rtl.top.machine import RtlMachine


@dataclass(frozen=True)
class Region:
    """Columns of one group of a tensor: what a store writes and a load reads.

    Attributes:
        tensor: Its name; constants have none and are always there.
        head: Matrix of a stack.
        group: Rows.
        first: First column.
        end: Column after the last.
    """

    tensor: str
    head: int
    group: int
    first: int = 0
    end: int = 1 << 30

    @property
    def columns(self) -> int:
        """Number of columns; without an end, 2^30."""
        return self.end - self.first


@dataclass
class DescriptorJob:
    """What belongs together and keeps its order.

    Attributes:
        node: Step of the program.
        engine: ``Kind.ARRAY`` or ``Kind.VECTOR``.
        loads: Fields and the regions they read.
        run: Fields.
        store: Fields, or None.
        writes: Region that the store writes.
    """

    node: str
    engine: Kind = Kind.VECTOR
    loads: list[tuple[dict[str, int], tuple[Region, ...]]] = field(default_factory=list)
    run: dict[str, int] = field(default_factory=dict)
    store: dict[str, int] | None = None
    writes: Region | None = None


class Emitter:
    """Collects jobs in program order.

    Attributes:
        machine: Sizes.
        memory: Addresses.
        layouts: Tensor → place.
        tiles: Tensor → columns of the tiles it is written in.
        jobs: So far.
        node: Step that is being emitted.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        self.memory = MemoryImage(machine.lines)
        self.layouts: dict[str, TensorLayout] = {}
        self.tiles: dict[str, int] = {}
        self.jobs: list[DescriptorJob] = []
        self.node = ""
        self._open: DescriptorJob | None = None

    def _job(self) -> DescriptorJob:
        """The job that is being put together."""
        if self._open is None:
            self._open = DescriptorJob(self.node)
            self.jobs.append(self._open)
        return self._open

    def load(self, reads: Iterable[Region] = (), **values: int) -> None:
        """A load; ``reads`` are the regions whose stores it waits for."""
        if self._open is not None and self._open.run:
            self._open = None  # a run that stores nothing
        self._job().loads.append(({"outer": 1, **values}, tuple(region for region in reads if region.tensor)))

    def array(self, **values: int) -> None:
        """A run of the array."""
        job = self._job()
        job.engine, job.run = Kind.ARRAY, dict(values)

    def vector(self, **values: int) -> None:
        """A run of the vector chunk."""
        job = self._job()
        job.engine, job.run = Kind.VECTOR, dict(values)

    def store(self, writes: Region, **values: int) -> None:
        """The store of the run's results; it ends the job."""
        job = self._job()
        job.store, job.writes = dict(values), writes
        self._open = None
