"""Read the relative position bias tables of BEiT, and resample them to another grid of patches."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.config import ViTConfig
from p2vit.models.sources.reader import StateReader
from p2vit.models.windows import GlobalWindow

#: Name of the table below the module that owns it.
TABLE = "relative_position_bias_table"


def copy_tables(
    read: StateReader,
    out: dict[str, Tensor],
    names: tuple[str, str],
    config: ViTConfig,
    library: str,
    *,
    from_file: bool = True,
) -> None:
    """Copy the bias tables of all blocks. A table that all blocks share is added to each block's own table.

    Args:
        read: State dict of the library.
        out: Canonical tensors; the tables are added.
        names: Name of the table of block ``{}``, and name of the shared table.
        config: Shape of the model.
        library: ``timm`` or ``transformers``, which resample in different ways.
        from_file: Whether the tables come from a weight file, where a square number of distances is that of a square
            grid. The tables of a model in memory have the model's own grid.
    """
    window = config.blocks[0].windows
    assert isinstance(window, GlobalWindow)

    def take(name: str) -> Tensor:
        rows = (read.shape(name) or (0,))[0]
        side = _side(rows - 3 * window.prefix_tokens)
        own = side is None or side == window.grid or (rows == window.bias_rows and not from_file)
        if own or side is None:
            return read.take(name, (window.bias_rows, config.heads))
        return resampled(read.take(name, (rows, config.heads)), side, window, library)

    block, shared = names
    common = take(shared) if shared in read else None
    for index in range(config.depth):
        name = block.format(index)
        # Without any table, taking the block's own one reports it as missing.
        own = take(name) if name in read or common is None else torch.zeros(())
        out[f"blocks.{index}.bias_table"] = own if common is None else own + common


def resampled(table: Tensor, grid: tuple[int, int], window: GlobalWindow, library: str) -> Tensor:
    """Resample a table to another grid of patches, as the library does.

    Args:
        table: Float32 [distances + 3, heads].
        grid: Grid of the table, (rows, columns).
        window: Window over the wanted grid.
        library: ``timm`` or ``transformers``.

    Returns:
        Float32 [rows of the window's table, heads].
    """
    count = (2 * grid[0] - 1) * (2 * grid[1] - 1)
    old, new = _distances(grid), _distances(window.grid)
    image = table[:count].t().reshape(1, -1, *old)
    if library == "timm":
        image = _along(image, old[0], new[0], 2)
        image = _along(image, old[1], new[1], 3)
    else:
        image = F.interpolate(image, size=new, mode="bilinear")
    return torch.cat([image.reshape(image.shape[1], -1).t(), table[count:]])


def grid_side(rows: int) -> int | None:
    """Return the patches per side of the square grid that a table with a class token is for.

    Args:
        rows: Rows of the table.

    Returns:
        Patches per side, or None if the table is for no square grid.
    """
    side = _side(rows - 3)
    return None if side is None else side[0]


def _side(distances: int) -> tuple[int, int] | None:
    """Return the square grid with that number of distances, or None."""
    root = math.isqrt(max(distances, 0))
    return ((root + 1) // 2,) * 2 if root % 2 and root * root == distances else None


def _distances(grid: tuple[int, int]) -> tuple[int, int]:
    return 2 * grid[0] - 1, 2 * grid[1] - 1


def _along(image: Tensor, old: int, new: int, axis: int) -> Tensor:
    """Resample one axis as timm does: linearly, from places whose distances grow geometrically to the new edge.

    If the grid changes on one axis only, timm resamples the other axis in the same way.

    Source: timm's ``resize_rel_pos_bias_table``, after the released code of BEiT.
    """
    places = torch.tensor(_geometric(old, new), dtype=torch.float32)
    wanted = torch.arange(new, dtype=torch.float32) - new // 2
    right = torch.bucketize(wanted, places).clamp(min(1, old - 1), old - 1)
    left = (right - 1).clamp(min=0)
    # Behind the outermost place its value continues.
    after, before = (wanted - places[left]).clamp(min=0), (places[right] - wanted).clamp(min=0)
    share = torch.where(after + before > 0, after / (after + before), torch.ones_like(after))
    shape = [1, 1, 1, 1]
    shape[axis] = new
    share = share.reshape(shape)
    return image.index_select(axis, left) * (1 - share) + image.index_select(axis, right) * share


def _geometric(old: int, new: int) -> list[float]:
    """Return the places of the old distances on the axis of the new ones: a geometric progression on either side."""
    low, high, ratio = 1.01, 1.5, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio ** (old // 2)) / (1 - ratio) > new // 2:
            high = ratio
        else:
            low = ratio
    side, place = [], 1.0
    for step in range(old // 2):
        side.append(place)
        place += ratio ** (step + 1)
    return [-value for value in reversed(side)] + [0.0] + side
