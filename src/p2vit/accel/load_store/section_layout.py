"""Layout of one section: row groups, sources, tiles and parameter loads of its operations."""

from collections.abc import Iterator, Sequence

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.machine.description import LoadStore, Machine
from p2vit.accel.workload.operations import Operation

#: Formats of the generated accelerator: bytes of a column's parameters (bias, gain, shifts), words of a line's
#: parameters (bias or row sum, shift), bytes of the row sum after softmax codes, entries of a table.
COLUMN_PARAMETER_BYTES, LINE_PARAMETER_WORDS, SUM_BYTES, TABLE_WORDS = 8, 5, 4, 256


class SectionLayout:
    """Operations of one section, and the jobs made from them so far.

    Args:
        machine: Load–store machine.
        options: Sizes of its engines.
        operations: Operations of the section.
        before: Operation that the section's first operation reads; None at the start.

    Attributes:
        jobs: Jobs in program order.
        passes: Number of column tiles of each operation.
        tiles: Columns per tile of each linear layer that other operations can follow tile by tile.
    """

    def __init__(
        self,
        machine: Machine,
        options: LoadStore,
        operations: Sequence[Operation],
        before: Operation | None,
    ) -> None:
        self.machine, self.options = machine, options
        self.operations, self.before = operations, before
        array = machine.chunks.mac_array
        self.lines, self.lanes = array.lines, array.lanes_per_line
        self.jobs: list[EngineJob] = []
        self.passes = [1] * len(operations)
        self.tiles: dict[int, int] = {}

    def groups(self, index: int) -> range:
        """Return the row groups of an operation. Patches leave rows free for the prefix tokens."""
        op = self.operations[index]
        first = self.prefix(index)
        return range(first // self.lines, folds(first + op.rows, self.lines))

    def prefix(self, index: int) -> int:
        """Return the number of free rows before the first row of an operation."""
        for later in self.operations[index:]:
            if later.kind == "tokens":
                return max(0, later.rows - self.operations[index].rows)
            if later.kind not in ("move", "linear", "lookup"):
                break
        return 0

    def projection(self, index: int) -> str:
        """Return which of q, k and v a linear layer is; empty if it is none of them."""
        for ahead, name in enumerate("vkq", start=1):
            later = self.operations[index + ahead : index + ahead + 1]
            if later and later[0].kind == "scores":
                return name
        return ""

    def source(self, index: int) -> int:
        """Return the operation that an operation reads; q, k and v read the same one."""
        return index - {"q": 1, "k": 2, "v": 3}.get(self.projection(index), 1)

    def rows(
        self, index: int, group: int, first: int = 0, end: int = 1 << 30, head: int = 0
    ) -> tuple[Region, ...]:
        """Return the region that an operation reads; empty for pixels."""
        source = self.source(index)
        if source < 0 and self.before is None:
            return ()
        return (Region(source, head, group, first, end),)

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
