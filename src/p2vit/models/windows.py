"""How hierarchical ViTs rearrange tokens: windows, cyclic shifts, padding, merging. Importable without torch.

Everything here is an index: place in the new order → token in the old one, −1 for padding.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from p2vit.models.rotary import RotaryPositions

Index = NDArray[np.int32]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The windows of one block.

    Libraries agree unless a grid is no multiple of the window and shifted as well: then timm shifts first and
    pads what it has shifted, transformers pads first.

    Attributes:
        grid: Tokens, (rows, columns).
        size: Tokens of a window, (rows, columns).
        shift: Tokens by which windows are moved down and right.
        pad_first: Pad, then shift.
    """

    grid: Pair
    size: Pair
    shift: Pair = (0, 0)
    pad_first: bool = False

    @property
    def padded(self) -> Pair:
        """Grid in whole windows."""
        (rows, columns), (h, w) = self.grid, self.size
        return -(-rows // h) * h, -(-columns // w) * w

    @property
    def area(self) -> int:
        """Tokens of a window."""
        return self.size[0] * self.size[1]

    @property
    def count(self) -> int:
        """Windows."""
        return self.padded[0] * self.padded[1] // self.area

    @property
    def padding(self) -> bool:
        """Whether some places of windows hold no token."""
        return self.padded != self.grid

    @property
    def moves(self) -> bool:
        """Whether windows reorder tokens at all; one window over the whole grid does not."""
        return not np.array_equal(self.index, np.arange(self.index.size))

    @cached_property
    def index(self) -> Index:
        """Token at each place, window by window: int32 [count · area]."""
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
        """Place at which each token stands: int32 [rows · columns]."""
        inverse = np.empty(self.grid[0] * self.grid[1], np.int32)
        held = self.index >= 0
        inverse[self.index[held]] = np.flatnonzero(held)
        return inverse

    @cached_property
    def regions(self) -> NDArray[np.int8] | None:
        """Region of each place, int8 [count, area]; those of different regions do not see each other.

        None where every place of a window sees every other.
        """
        if not any(self.shift):
            return None
        whole, region = np.zeros(self.padded, np.int8), 0
        # A side that is not shifted is one slice: −0 is the whole of it, as in both libraries.
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
        """Row of the relative position table for each query and key: int64 [area, area]."""
        h, w = self.size
        places = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij")).reshape(2, -1)
        down, right = places[:, :, None] - places[:, None, :]
        return (down + h - 1) * (2 * w - 1) + right + w - 1

    @property
    def bias_rows(self) -> int:
        """Rows of the relative position table: distances there are in a window."""
        return (2 * self.size[0] - 1) * (2 * self.size[1] - 1)

    def _cut(self, whole: NDArray) -> NDArray:
        """A grid in whole windows, window by window, flat."""
        (rows, columns), (h, w) = self.padded, self.size
        return whole.reshape(rows // h, h, columns // w, w).transpose(0, 2, 1, 3).reshape(-1)


@dataclass(frozen=True)
class Merge:
    """Patch merging: 2 × 2 tokens become one of four times the channels, then a linear halves them.

    Attributes:
        grid: Tokens before it, (rows, columns); an odd side is padded with one row of zeros.
        dim: Channels before it.
    """

    grid: Pair
    dim: int

    @property
    def merged(self) -> Pair:
        """Grid after it."""
        return -(-self.grid[0] // 2), -(-self.grid[1] // 2)

    @cached_property
    def index(self) -> Index:
        """The four tokens of each merged one: int32 [tokens after it, 4], column by column as Swin has them."""
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
        tokens: Rows of the residual stream.
        windows: Windows that attention stays inside; None: every token sees every other.
        merge: Patch merging before the block, or None.
        rotary: Rotary position embedding of queries and keys, or None.
        gated_mlp: Whether the MLP has a second linear layer that its activation multiplies.
        mlp_norm: Whether a LayerNorm stands before the MLP's last linear layer.
    """

    dim: int
    heads: int
    mlp_dim: int
    tokens: int
    windows: Windows | None = None
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
        """Rows that attention works on: tokens, or places in windows."""
        return self.tokens if self.windows is None else self.windows.count * self.windows.area

    @property
    def keys(self) -> int:
        """Keys that a query meets."""
        return self.tokens if self.windows is None else self.windows.area

    @property
    def parameters(self) -> int:
        """Weights and biases, LayerScale folded; relative position tables and patch merging included."""
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
        """Multiply-accumulates of one photo: linears, both attention products, patch merging."""
        merging = 4 * self.merge.dim * self.dim * self.tokens if self.merge is not None else 0
        linears = 4 * self.dim * self.dim + (2 + int(self.gated_mlp)) * self.dim * self.mlp_dim
        return merging + self.tokens * linears + 2 * self.places * self.keys * self.dim
