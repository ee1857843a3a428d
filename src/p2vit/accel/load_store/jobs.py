"""Jobs of a load–store machine: one run of an engine, with the loads before it and the store of its results.

Between operations, tensors are in external memory, in groups of as many rows as the array has lines. A word holds one
byte of every row of a group. Stores write and loads read *regions*: some columns of one group.

The records are named tuples, because a design-space search makes hundreds of thousands of them.
"""

from typing import NamedTuple

from p2vit.accel.load_store.timeline import Engine


class Region(NamedTuple):
    """Columns of one group of an operation's output.

    Attributes:
        operation: Position in the section; −1 is the last operation of the previous section.
        head: Number of the head.
        group: Number of the row group.
        first: First column.
        end: Column after the last.
    """

    operation: int
    head: int
    group: int
    first: int = 0
    end: int = 1 << 30

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.end - self.first


class Load(NamedTuple):
    """One load.

    Attributes:
        words: Number of words of external memory.
        buffer: Buffer that is loaded: one of `timeline.BUFFERS`, or ``norm_table``, which is loaded once.
        reads: Regions that must be written before; empty for weights, constants and pixels.
        opens: Whether the load takes a free slot.
        closes: Whether the slot is full after the load.
        gather: Whether single bytes are read, one per cycle. A gather begins only when no other load is outstanding.
    """

    words: int
    buffer: str
    reads: tuple[Region, ...] = ()
    opens: bool = True
    closes: bool = True
    gather: bool = False


class EngineJob(NamedTuple):
    """One run of an engine, with its loads and its store.

    Attributes:
        operation: Position in the section.
        engine: Engine of the run.
        loads: Loads in order.
        work: Cycles in which the engine takes numbers.
        slowed: Further cycles by reason: a port or the re-quantization lanes are too slow.
        overhead: Further cycles: issue, fill and drain of the pipeline, scalar steps between passes.
        takes: Buffers that must be full before the run.
        releases: Buffers that have a free slot after the run.
        store_words: Words of the results; 0 if a later run of the same operation stores them.
        writes: Region that the store writes; None without a store.
    """

    operation: int
    engine: Engine
    loads: tuple[Load, ...]
    work: int
    slowed: tuple[tuple[str, int], ...]
    overhead: int
    takes: tuple[str, ...]
    releases: tuple[str, ...]
    store_words: int
    writes: Region | None

    @property
    def cycles(self) -> int:
        """Engine cycles from issue to completion."""
        return self.work + self.overhead + sum(cycles for _, cycles in self.slowed)

    @property
    def region(self) -> Region:
        """Columns and group that the run works on: those that it writes, or else those that its last load reads."""
        return self.writes or self.loads[-1].reads[0]


#: Number of the first operation of the job's section, and the job.
PlacedJob = tuple[int, EngineJob]
