"""Layout of one section: row groups, sources, tiles and parameter loads of its operations."""

from collections.abc import Iterator, Sequence

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.formats import COLUMN_PARAMETER_BYTES
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.steps import Step
from p2vit.accel.machine.description import LoadStore, Machine
from p2vit.accel.workload.operations import Operation


class SectionLayout:
    """Steps of one section, and the jobs made from them so far.

    Args:
        machine: Load–store machine.
        options: Sizes of its engines.
        steps: Steps of the section.

    Attributes:
        jobs: Jobs in program order.
        passes: Number of column tiles of each operation.
        tiles: Columns per tile of each linear layer that other operations can follow tile by tile.
    """

    def __init__(self, machine: Machine, options: LoadStore, steps: Sequence[Step]) -> None:
        self.machine, self.options, self.steps = machine, options, steps
        array = machine.chunks.mac_array
        self.lines, self.lanes = array.lines, array.lanes_per_line
        self.jobs: list[EngineJob] = []
        self.passes = [1] * len(steps)
        self.tiles: dict[int, int] = {}

    def groups(self, step: Step) -> range:
        """Return the row groups of an operation."""
        first = step.first_row
        return range(first // self.lines, folds(first + step.operation.rows, self.lines))

    def region(
        self, step: Step, operand: int, group: int, first: int = 0, end: int = 1 << 30, head: int = 0
    ) -> tuple[Region, ...]:
        """Return the region of an operand; empty for pixels."""
        return (Region(step.reads[operand], head, group, first, end),) if step.reads else ()

    def tiles_of(self, index: int, columns: int, tile: int) -> Iterator[tuple[int, int]]:
        """Yield the first column and the number of columns of every tile."""
        self.passes[index] = folds(columns, tile)
        for first in range(0, columns, tile):
            yield first, min(tile, columns - first)

    def column_parameters(self, columns: int, buffer: str = "column_parameters") -> Load:
        """Return the load of the parameters of a tile's columns."""
        return Load(columns * folds(COLUMN_PARAMETER_BYTES, self.lines), buffer)


def words_each(op: Operation) -> int:
    """Return the words per column: one per byte of a number."""
    return folds(op.output_bits, 8)
