"""Feature maps: dense outputs of a program, one vector per patch of the photo."""

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from p2vit.numerics.rounding import IntArray

if TYPE_CHECKING:
    from p2vit.program.graph import TensorSpec

#: Names of outputs that are no feature maps.
RESERVED = ("logits", "pixels")
#: Largest number of feature maps of a program, and largest side of one.
MAX_MAPS, MAX_GRID = 64, 1 << 12
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}\Z")


@dataclass(frozen=True)
class FeatureMap:
    """A dense output of a program.

    Attributes:
        name: Name of the output and of the node that writes it, e.g. ``patch_tokens`` or ``layers.5``.
        grid: Patches, (rows, columns); the node writes [first + rows · columns, channels], row by row.
        layer: Encoder block, counted from 0, whose patch tokens it is, behind the model's last LayerNorm; None for the
            output of a head that reads another map.
        first: Rows before the first patch: class token and registers, which are no part of the map. They stay in the
            tensor, so that no back-end has to move rows.
        classes: Label of each channel; empty if the channels are no classes.
    """

    name: str
    grid: tuple[int, int]
    layer: int | None = None
    first: int = 0
    classes: tuple[str, ...] = ()

    def spatial(self, stored: IntArray) -> IntArray:
        """The patches of [B, first + rows · columns, C], as [B, rows, columns, C]."""
        return stored[:, self.first :].reshape(len(stored), *self.grid, stored.shape[-1])


def map_problems(maps: tuple[FeatureMap, ...], tensors: "dict[str, TensorSpec]") -> list[str]:
    """Everything that is wrong with a program's feature maps, in words; empty if all is well.

    Args:
        maps: The maps.
        tensors: Of the program: what its nodes write.
    """
    if len(maps) > MAX_MAPS:
        return [f"there are {len(maps)} feature maps; allowed are up to {MAX_MAPS}"]
    problems, seen = [], set()
    for each in maps:
        if not NAME.match(each.name) or each.name in RESERVED or each.name in seen:
            problems.append(
                f"a feature map is called {each.name[:200]!r}; its name must differ from those of the other "
                f"maps, and from {' and '.join(RESERVED)}"
            )
            continue
        seen.add(each.name)
        spec = tensors.get(each.name)
        if spec is None:
            problems.append(f"the feature map {each.name!r} is written by no node")
        elif not all(1 <= side <= MAX_GRID for side in each.grid):
            problems.append(f"the feature map {each.name!r} has the grid {list(each.grid)}")
        elif len(spec.shape) != 2 or each.first < 0 or spec.shape[0] != each.first + prod(each.grid):
            rows, columns = each.grid
            problems.append(
                f"the feature map {each.name!r} has shape {list(spec.shape)}; {rows} x {columns} patches "
                f"behind {each.first} other tokens are [{each.first + rows * columns}, channels]"
            )
        elif each.classes and len(each.classes) != spec.shape[-1]:
            problems.append(
                f"the feature map {each.name!r} has {len(each.classes)} classes and {spec.shape[-1]} channels"
            )
    return problems
