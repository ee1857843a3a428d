"""Layout of one section: row groups, sources and parameter loads of its operations."""

from collections.abc import Sequence

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.formats import COLUMN_PARAMETER_BYTES
from p2vit.accel.load_store.jobs import Load, Region
from p2vit.accel.load_store.steps import Step
from p2vit.accel.machine.description import LoadStore, Machine
from p2vit.accel.workload.operations import Operation


class SectionLayout:
    """Steps of one section on one machine.

    Args:
        machine: Machine with load, array, vector and store engines.
        options: Sizes of its engines.
        steps: Steps of the section.
    """

    def __init__(self, machine: Machine, options: LoadStore, steps: Sequence[Step]) -> None:
        self.machine, self.options, self.steps = machine, options, steps
        array = machine.chunks.mac_array
        self.lines, self.lanes = array.lines, array.lanes_per_line

    def groups(self, step: Step) -> range:
        """Return the row groups of an operation."""
        first = step.first_row
        return range(first // self.lines, folds(first + step.operation.rows, self.lines))

    def region(
        self, step: Step, operand: int, group: int, first: int = 0, end: int = 1 << 30, head: int = 0
    ) -> tuple[Region, ...]:
        """Return the region of an operand; empty for pixels."""
        return (Region(step.reads[operand], head, group, first, end),) if step.reads else ()

    def column_parameters(self, columns: int, buffer: str = "column_parameters") -> Load:
        """Return the load of the parameters of a tile's columns."""
        return Load(columns * folds(COLUMN_PARAMETER_BYTES, self.lines), buffer)


def words_each(op: Operation) -> int:
    """Return the words per column: one per byte of a number."""
    return folds(op.output_bits, 8)
