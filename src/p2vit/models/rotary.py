"""Rotary position embedding: the angle of each token and each pair of channels. Importable without torch."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: How positions become angles: EVA-02's whole numbers, or DINOv3's centres of patches between −1 and 1.
Rope = Literal["none", "axial", "dinov3"]


@dataclass(frozen=True)
class RotaryPositions:
    """Angles by which queries and keys are turned.

    Channels 2·i and 2·i + 1 of each head are a pair. The first half of the pairs turns with the row of a patch,
    the second half with its column. Prefix tokens do not turn.

    Source: timm's ``RotaryEmbeddingCat`` (EVA-02, Fang et al. 2023) and the DINOv3 release (Siméoni et al. 2025).

    Attributes:
        kind: ``axial`` or ``dinov3``.
        grid: Patches, (rows, columns).
        prefix_tokens: Tokens before the patches.
        head_dim: Channels of a head, a multiple of 4.
        temperature: Ratio of the longest wavelength to the shortest.
        reference: ``axial`` only: side of the grid that the model was trained on, to which positions of other
            grids are scaled; 0 for none.
        offset: ``axial`` only: position of the first row and column, before scaling (Perception Encoder: 1).
        columns_first: Whether the first half of the pairs turns with the column instead (Perception Encoder).
    """

    kind: Rope
    grid: tuple[int, int]
    prefix_tokens: int
    head_dim: int
    temperature: float
    reference: int = 0
    offset: float = 0.0
    columns_first: bool = False

    @cached_property
    def angles(self) -> NDArray[np.float64]:
        """Radians: float64 [tokens, head_dim / 2]."""
        bands = self.temperature ** (-np.arange(self.head_dim // 4) / (self.head_dim // 4))
        sides = []
        for side in self.grid:
            place = np.arange(side, dtype=np.float64)
            if self.kind == "dinov3":
                place = 2 * np.pi * (2 * (place + 0.5) / side - 1)
            else:
                place = place + self.offset
                place = place / side * self.reference if self.reference else place
            sides.append(place)
        rows, columns = np.meshgrid(*sides, indexing="ij")
        halves = (columns, rows) if self.columns_first else (rows, columns)
        places = np.stack(halves, axis=-1).reshape(-1, 2, 1)
        turned = (places * bands).reshape(-1, self.head_dim // 2)
        return np.concatenate([np.zeros((self.prefix_tokens, self.head_dim // 2)), turned])

    def rounded(self, bits: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Cosines and sines as whole numbers of ``2^-bits``: int16 [tokens, head_dim / 2] each."""
        cosine, sine = (
            np.floor(np.ldexp(f(self.angles), bits) + 0.5).astype(np.int16) for f in (np.cos, np.sin)
        )
        return cosine, sine


def interleaved(rows: "Tensor", heads: int) -> "Tensor":
    """Reorder rows of a query or key layer whose pairs are the two halves of a head into neighbours.

    Scores do not depend on the order of channels within a head.

    Args:
        rows: Weight [C, K] or bias [C].
        heads: H.

    Returns:
        The shape of ``rows``.
    """
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(rows.shape)
