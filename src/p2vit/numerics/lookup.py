"""Lookup table for any function of an 8-bit number, such as GELU."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range, clamp_range

#: Entries of a table: one per int8 value.
ENTRIES = 256
#: Channels per table in a layer with several tables. CPU kernels look up that many channels at once.
TABLE_CHANNELS = 64


@dataclass(frozen=True, eq=False)
class Lookup(Operator):
    """``y = table[group][x + 128]``: any function of an 8-bit number, such as GELU or QuickGELU.

    The table is made from the exact function, so the only error is the rounding of its entries: half an output step.
    The channels form groups of neighbours, and each group has its own table. Each group can have its own exponents and
    offset, so channels with small values keep their precision beside outlier channels.

    Attributes:
        table: int8 [G, 256], entry [g, i] for the input i − 128 in group g; G divides the channels, and
            group g holds channels g·C/G to (g + 1)·C/G − 1.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, True),)

    table: IntArray = field(metadata=INT8)

    def validate(self) -> None:
        """Check the table.

        Raises:
            ValueError: The table does not have 256 entries for each of one or more groups.
        """
        shape = self.table.shape
        expect(
            len(shape) == 2 and shape[0] >= 1 and shape[1] == ENTRIES,
            f"table has shape {shape}; expected (groups, 256)",
        )

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return int(self.table.shape[0])

    def group_of(self, channels: int) -> IntArray:
        """Return the group of each channel: int64 [C]."""
        return np.arange(channels) // (channels // self.groups)

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: int8 [B, ..., C] → int8, the same shape."""
        (x,) = inputs
        return self.table[self.group_of(x.shape[-1]), x.astype(np.int64) + 128]

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the input, whose channels must be a multiple of the groups."""
        (x,) = shapes
        expect(
            len(x) > 0 and x[-1] % self.groups == 0,
            f"input has shape {list(x)}; its channels must be a multiple of the {self.groups} tables",
        )
        return x

    def output_format(self) -> tuple[int, bool]:
        """int8."""
        return 8, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range of the table's entries for the range of the input."""
        low, high = clamp_range(ranges[0], 8)
        reached = self.table[:, low + 128 : high + 129]
        return Bounds((int(reached.min()), int(reached.max())), {})
