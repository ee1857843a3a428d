"""All jobs of one operation of a load–store machine, described by a loop instead of one by one.

Most jobs of an operation are alike: they differ in the regions that they read and write, and not in their words and
cycles. So a loop can give every job, for the event-driven simulation and the compiler, or one job of each kind with
its count, for the closed form.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.jobs import EngineJob

#: Makes a job from its head, first column, number of columns and row group.
Maker = Callable[[int, int, int, int], EngineJob]


@dataclass(frozen=True, eq=False)
class JobLoop:
    """Jobs of one operation: head by head, column tile by column tile, row group by row group.

    Attributes:
        make: Makes a job.
        columns: Columns of one head.
        tile: Columns of a tile; the last tile may be narrower.
        groups: Row groups.
        heads: Number of heads.
        by_group: Whether all tiles of a row group come before the next group.
        completes: Position in ``groups`` of the group after which, in the last tile, the first rows are complete.
        own_heads: Whether the rows of each head are read by themselves, so that the first tile of the first head
            completes the first rows.
        alike: Whether tiles of equal width have equal words and cycles. Inner row groups always have.
    """

    make: Maker
    columns: int
    tile: int
    groups: range
    heads: int = 1
    by_group: bool = False
    completes: int = 0
    own_heads: bool = False
    alike: bool = True

    @property
    def passes(self) -> int:
        """Number of column tiles."""
        return folds(self.columns, self.tile)

    @property
    def runs(self) -> int:
        """Number of jobs."""
        return self.heads * self.passes * len(self.groups)

    @property
    def later(self) -> int:
        """Number of jobs after the one that completes the first rows."""
        if self.own_heads:
            return self.runs - len(self.groups)
        after = len(self.groups) - 1 - self.completes
        return after * self.passes if self.by_group else after

    @property
    def first(self) -> EngineJob:
        """First job."""
        return self.make(0, 0, self._width(0), self.groups[0])

    @property
    def last(self) -> EngineJob:
        """Last job."""
        first = (self.passes - 1) * self.tile
        return self.make(self.heads - 1, first, self._width(first), self.groups[-1])

    def jobs(self) -> Iterator[EngineJob]:
        """Yield all jobs in program order."""
        tiles = [(first, self._width(first)) for first in range(0, self.columns, self.tile)]
        for head in range(self.heads):
            if self.by_group:
                for group in self.groups:
                    for first, columns in tiles:
                        yield self.make(head, first, columns, group)
            else:
                for first, columns in tiles:
                    for group in self.groups:
                        yield self.make(head, first, columns, group)

    @cached_property
    def kinds(self) -> tuple[tuple[EngineJob, int], ...]:
        """One job of each kind, and the number of jobs that have the same words and cycles."""
        places = range(0, self.columns, self.tile)
        firsts = _representatives(places) if self.alike else [(first, 1) for first in places]
        groups = _representatives(self.groups)
        return tuple(
            (self.make(0, first, self._width(first), group), self.heads * tiles * each)
            for first, tiles in firsts
            for group, each in groups
        )

    def _width(self, first: int) -> int:
        return min(self.tile, self.columns - first)


def _representatives(places: range) -> list[tuple[int, int]]:
    """Return the first place, one inner place and the last place, each with the number of places that it stands for."""
    if len(places) < 4:
        return [(place, 1) for place in places]
    return [(places[0], 1), (places[1], len(places) - 2), (places[-1], 1)]
