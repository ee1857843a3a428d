"""A table: any function of an 8-bit number, such as GELU."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import IntArray, Range, clamp_range

#: Entries of a table: one for each int8.
ENTRIES = 256
#: Channels that share a table where a layer has several: what a kernel looks up at once.
TABLE_CHANNELS = 64


@dataclass(frozen=True, eq=False)
class Lookup(Operator):
    """``y = table[group][x + 128]``: any function of an 8-bit number, such as GELU or QuickGELU.

    The table is made from the exact function, so the only error is the rounding of its entries: half an
    output step. Channels fall into groups of neighbours; each group has a table, so its channels may have
    exponents and an offset of their own: channels with small values keep their precision beside outliers.

    Attributes:
        table: int8 [G, 256], entry [g, i] for the input i − 128 in group g; G divides the channels, and
            group g holds channels g·C/G to (g + 1)·C/G − 1.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, True),)

    table: IntArray = field(metadata=INT8)

    def validate(self) -> None:
        """Check the table.

        Raises:
            ValueError: a table that has not 256 entries for each of one or more groups.
        """
        shape = self.table.shape
        expect(
            len(shape) == 2 and shape[0] >= 1 and shape[1] == ENTRIES,
            f"table has shape {shape}; expected (groups, 256)",
        )

    @property
    def groups(self) -> int:
        """G."""
        return int(self.table.shape[0])

    def group_of(self, channels: int) -> IntArray:
        """Group of each channel: int64 [C]."""
        return np.arange(channels) // (channels // self.groups)

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: int8 [B, ..., C] → int8, the same shape."""
        (x,) = inputs
        return self.table[self.group_of(x.shape[-1]), x.astype(np.int64) + 128]

    def output_shape(self, *shapes: Shape) -> Shape:
        """The input's."""
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
        """The table's extremes over the input's range."""
        low, high = clamp_range(ranges[0], 8)
        reached = self.table[:, low + 128 : high + 129]
        return Bounds((int(reached.min()), int(reached.max())), {})
