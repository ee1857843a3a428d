"""Units of work of a load–store machine: the loads of one run of an engine, the run, the store of its results.

Tensors stand in the external memory between operations, in groups of as many rows as the array has lines; a
word holds one byte of every row of a group. A *region* is columns of one group: what a store writes and a load
reads.
"""

from dataclasses import dataclass

from p2vit.accel.load_store.timeline import Engine


@dataclass(frozen=True)
class Region:
    """Columns of one group of an operation's output.

    Attributes:
        operation: Position in the section; −1 is the last operation of the section before.
        head: Matrix of a stack.
        group: Rows.
        first: First column.
        end: Column after the last.
    """

    operation: int
    head: int
    group: int
    first: int = 0
    end: int = 1 << 30


@dataclass(frozen=True)
class Load:
    """One load.

    Attributes:
        words: Words of the external memory.
        buffer: Where they go (`walk.BUFFERS`, or ``norm_table``, which is filled once).
        reads: Regions that must be written; none for weights, constants and pixels.
        opens: Takes a free slot.
        closes: Fills it.
        gather: A byte per cycle, from anywhere, and only when nothing else is outstanding.
    """

    words: int
    buffer: str
    reads: tuple[Region, ...] = ()
    opens: bool = True
    closes: bool = True
    gather: bool = False


@dataclass(frozen=True)
class EngineJob:
    """One run with all that belongs to it.

    Attributes:
        operation: Position in the section.
        engine: Which runs it.
        loads: In order.
        work: Cycles in which numbers go in.
        slowed: Further cycles by reason: a port or the re-quantization lanes are too slow.
        overhead: Further cycles: taking the run, fill and drain of the pipeline, steps between passes.
        takes: Buffers it waits for.
        releases: Buffers it sets free.
        store_words: Words of its results; 0 where a later run of the same operation stores them.
        writes: What its store writes.
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
        """Of the engine, from taking it to its last."""
        return self.work + self.overhead + sum(cycles for _, cycles in self.slowed)
