"""Attention windows and token order: windows, cyclic shifts, padding, patch merging, relative positions.

Importable without torch.

Each rearrangement is an index array: entry i is the old position of the token at new position i, or −1 for padding.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from p2vit.models.rotary import RotaryPositions

Index = NDArray[np.int32]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The attention windows of one block.

    Libraries differ if a grid is not a multiple of the window and the windows are shifted: timm shifts and then pads,
    transformers pads and then shifts.

    Attributes:
        grid: Tokens of the grid, (rows, columns).
        size: Tokens of a window, (rows, columns).
        shift: Tokens by which the windows are shifted, (down, right).
        pad_first: Whether the grid is padded before it is shifted.
    """

    grid: Pair
    size: Pair
    shift: Pair = (0, 0)
    pad_first: bool = False

    @property
    def padded(self) -> Pair:
        """Size of the padded grid, (rows, columns): multiples of the window."""
        (rows, columns), (h, w) = self.grid, self.size
        return -(-rows // h) * h, -(-columns // w) * w

    @property
    def area(self) -> int:
        """Number of token places in a window."""
        return self.size[0] * self.size[1]

    @property
    def count(self) -> int:
        """Number of windows."""
        return self.padded[0] * self.padded[1] // self.area

    @property
    def padding(self) -> bool:
        """Whether the windows contain padding."""
        return self.padded != self.grid

    @property
    def moves(self) -> bool:
        """Whether the windows change the order of the tokens. A single window over the whole grid does not."""
        return not np.array_equal(self.index, np.arange(self.index.size))

    @cached_property
    def index(self) -> Index:
        """Token at each window place, window by window: int32 [count · area], −1 for padding."""
        rows, columns = self.grid
        tokens = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
        back = (-self.shift[0], -self.shift[1])
        if not self.pad_first:
            tokens = np.roll(tokens, back, (0, 1))
        whole = np.full(self.padded, -1, np.int32)
        whole[:rows, :columns] = tokens
        if self.pad_first:
            whole = np.roll(whole, back, (0, 1))
        return self._cut(whole)

    @cached_property
    def inverse(self) -> Index:
        """Window place of each token: int32 [rows · columns]."""
        inverse = np.empty(self.grid[0] * self.grid[1], np.int32)
        occupied = self.index >= 0
        inverse[self.index[occupied]] = np.flatnonzero(occupied)
        return inverse

    @cached_property
    def regions(self) -> NDArray[np.int8] | None:
        """Region of each window place, int8 [count, area]. Tokens of different regions do not attend to each other.

        None if every token of a window attends to every other.
        """
        if not any(self.shift):
            return None
        whole, region = np.zeros(self.padded, np.int8), 0
        # A side that is not shifted is one slice: slice(-0, None) covers all of it, as in both libraries.
        sides = [
            (slice(0, -n), slice(-n, -s), slice(-s, None)) for n, s in zip(self.size, self.shift, strict=True)
        ]
        for rows in sides[0]:
            for columns in sides[1]:
                whole[rows, columns] = region
                region += 1
        regions = self._cut(whole).reshape(self.count, self.area)
        return None if (regions == regions[:, :1]).all() else regions

    @cached_property
    def bias_index(self) -> NDArray[np.int64]:
        """Row of the relative position table for each pair of query and key: int64 [area, area]."""
        return distance_index(self.size)

    @property
    def bias_rows(self) -> int:
        """Number of rows of the relative position table, one per distance within a window."""
        return (2 * self.size[0] - 1) * (2 * self.size[1] - 1)

    def _cut(self, whole: NDArray) -> NDArray:
        """Reorder a padded grid window by window and flatten it."""
        (rows, columns), (h, w) = self.padded, self.size
        return whole.reshape(rows // h, h, columns // w, w).transpose(0, 2, 1, 3).reshape(-1)


@dataclass(frozen=True)
class GlobalWindow:
    """One attention window over all tokens, with a relative position bias, as in BEiT.

    It has the attributes of `Windows` that blocks and integer programs use. The tokens keep their order.

    Source: Bao et al., "BEiT", ICLR 2022, section 2.3, and its released code.

    Attributes:
        grid: Patches, (rows, columns).
        prefix_tokens: Tokens before the patches, 0 or 1. If there is one, the last three rows of the bias table belong
            to its pairs: as a query, as a key, and with itself.
    """

    grid: Pair
    prefix_tokens: int = 1

    count: ClassVar[int] = 1
    padding: ClassVar[bool] = False
    moves: ClassVar[bool] = False
    regions: ClassVar[None] = None

    @property
    def area(self) -> int:
        """Number of tokens."""
        return self.grid[0] * self.grid[1] + self.prefix_tokens

    @cached_property
    def index(self) -> Index:
        """Token at each place of the window: int32 [tokens], in order."""
        return np.arange(self.area, dtype=np.int32)

    @property
    def inverse(self) -> Index:
        """Place of each token in the window: int32 [tokens], in order."""
        return self.index

    @cached_property
    def bias_index(self) -> NDArray[np.int64]:
        """Row of the relative position table for each pair of query and key: int64 [tokens, tokens]."""
        patches = distance_index(self.grid)
        if not self.prefix_tokens:
            return patches
        index = np.empty((self.area, self.area), np.int64)
        index[1:, 1:] = patches
        index[0, :], index[:, 0], index[0, 0] = (self.bias_rows - back for back in (3, 2, 1))
        return index

    @property
    def bias_rows(self) -> int:
        """Number of rows of the relative position table: one per distance of patches, and three for the prefix."""
        return (2 * self.grid[0] - 1) * (2 * self.grid[1] - 1) + 3 * self.prefix_tokens


def distance_index(size: Pair) -> NDArray[np.int64]:
    """Number the distances between the places of a grid.

    Args:
        size: Places, (rows, columns).

    Returns:
        Number of the distance from each query to each key, row by row: int64 [places, places].
    """
    h, w = size
    places = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij")).reshape(2, -1)
    down, right = places[:, :, None] - places[:, None, :]
    return (down + h - 1) * (2 * w - 1) + right + w - 1


@dataclass(frozen=True)
class Merge:
    """Patch merging: 2 × 2 tokens become one token of four times the channels, then a linear layer halves the channels.

    Attributes:
        grid: Tokens before merging, (rows, columns). An odd side is padded with one row or column of zeros.
        dim: Channels before merging.
    """

    grid: Pair
    dim: int

    @property
    def merged(self) -> Pair:
        """Tokens after merging, (rows, columns)."""
        return -(-self.grid[0] // 2), -(-self.grid[1] // 2)

    @cached_property
    def index(self) -> Index:
        """The four tokens that form each merged token: int32 [merged tokens, 4], column by column as in Swin."""
        rows, columns = self.merged
        whole = np.full((2 * rows, 2 * columns), -1, np.int32)
        whole[: self.grid[0], : self.grid[1]] = np.arange(self.grid[0] * self.grid[1]).reshape(self.grid)
        return whole.reshape(rows, 2, columns, 2).transpose(0, 2, 3, 1).reshape(rows * columns, 4)


@dataclass(frozen=True)
class BlockShape:
    """Shape of one encoder block.

    Attributes:
        dim: Channels of the residual stream.
        heads: Attention heads.
        mlp_dim: Hidden channels of the MLP.
        tokens: Tokens of the residual stream.
        windows: Windows of the attention; None for attention over all tokens without a relative position bias.
        merge: Patch merging before the block, or None.
        rotary: Rotary position embedding of queries and keys, or None.
        gated_mlp: Whether the MLP has a second linear layer that its activation multiplies.
        mlp_norm: Whether a LayerNorm stands before the MLP's last linear layer.
    """

    dim: int
    heads: int
    mlp_dim: int
    tokens: int
    windows: Windows | GlobalWindow | None = None
    merge: Merge | None = None
    rotary: RotaryPositions | None = None
    gated_mlp: bool = False
    mlp_norm: bool = False

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.heads

    @property
    def places(self) -> int:
        """Number of rows that attention works on: tokens, or window places including padding."""
        return self.tokens if self.windows is None else self.windows.count * self.windows.area

    @property
    def keys(self) -> int:
        """Number of keys that a query attends to."""
        return self.tokens if self.windows is None else self.windows.area

    @property
    def parameters(self) -> int:
        """Number of weights and biases, including relative position tables and patch merging; LayerScale is folded."""
        C, hidden = self.dim, self.mlp_dim
        count = 4 * (C * C + C) + (C * hidden + hidden) + (hidden * C + C) + 4 * C
        count += int(self.gated_mlp) * (C * hidden + hidden) + int(self.mlp_norm) * 2 * hidden
        if self.windows is not None:
            count += self.windows.bias_rows * self.heads
        if self.merge is not None:
            inputs = 4 * self.merge.dim
            count += 2 * inputs + inputs * C + C
        return count

    @property
    def macs(self) -> int:
        """Multiply-accumulates per photo: linear layers, both attention products and patch merging."""
        merging = 4 * self.merge.dim * self.dim * self.tokens if self.merge is not None else 0
        linears = 4 * self.dim * self.dim + (2 + int(self.gated_mlp)) * self.dim * self.mlp_dim
        return merging + self.tokens * linears + 2 * self.places * self.keys * self.dim
