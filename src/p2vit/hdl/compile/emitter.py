"""Collects the jobs of a program: one run of an engine with its loads and its store, as descriptor fields."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2vit.hdl.compile.layout import TensorLayout
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.top.descriptor import Kind
from p2vit.hdl.top.machine import RtlMachine


@dataclass(frozen=True)
class Region:
    """Columns of one row group of a tensor, which a store writes or a load reads.

    Attributes:
        tensor: Name of the tensor; empty for constants, which are always available.
        head: Number of the head.
        group: Number of the row group.
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
        """Number of columns."""
        return self.end - self.first


@dataclass
class DescriptorJob:
    """One run of an engine with its loads and its store, as fields of descriptors.

    Attributes:
        node: Name of the node.
        engine: ``Kind.ARRAY`` or ``Kind.VECTOR``.
        loads: Fields of each load and the regions that it reads.
        run: Fields of the run.
        store: Fields of the store; None without a store.
        writes: Region that the store writes; None without a store.
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
        machine: Sizes of the accelerator.
        memory: Memory image.
        layouts: Tensor → its layout in memory.
        tiles: Tensor → number of columns of the tiles that it is written in.
        jobs: Jobs emitted so far.
        node: Name of the node that is being emitted.
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
        """Return the job under construction; begin one if there is none."""
        if self._open is None:
            self._open = DescriptorJob(self.node)
            self.jobs.append(self._open)
        return self._open

    def load(self, reads: Iterable[Region] = (), **values: int) -> None:
        """Add a load; ``reads`` are the regions whose stores it waits for."""
        if self._open is not None and self._open.run:
            self._open = None  # the previous run has no store
        self._job().loads.append(({"outer": 1, **values}, tuple(region for region in reads if region.tensor)))

    def array(self, **values: int) -> None:
        """Add a run of the array."""
        job = self._job()
        job.engine, job.run = Kind.ARRAY, dict(values)

    def vector(self, **values: int) -> None:
        """Add a run of the vector engine."""
        job = self._job()
        job.engine, job.run = Kind.VECTOR, dict(values)

    def store(self, writes: Region, **values: int) -> None:
        """Add the store of the run's results, and end the job."""
        job = self._job()
        job.store, job.writes = dict(values), writes
        self._open = None
