"""What every collection of photos offers, whether it is a folder or a named benchmark."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

UNLABELLED = -1


@runtime_checkable
class PhotoSource(Protocol):
    """Photos, ready for a model: uint8 [B, H, W, 3] in batches, one batch in memory at a time.

    Attributes:
        name: What users type, or the folder's path.
        classes: Class names in label order; empty when the photos have no labels.
        skipped: (path, reason) of photos that could not be read so far.
        strict: A photo that cannot be read is an error; otherwise it is skipped.
    """

    name: str
    classes: tuple[str, ...]
    skipped: list[tuple[str, str]]
    strict: bool

    def __len__(self) -> int:
        """Count the photos that `evaluation` goes through."""
        ...

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw photos to calibrate on, without replacement; never from a benchmark's held-out half.

        Args:
            count: Photos wanted; a source with fewer yields all it has.
            seed: The same seed draws the same photos in the same order.
            batch_size: Photos per batch; the last one may be smaller.

        Returns:
            Batches uint8 [B, H, W, 3].
        """
        ...

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Go through the photos to measure on, in a fixed order.

        Args:
            limit: At most so many photos, spread over the classes; all of them when None.
            batch_size: Photos per batch; the last one may be smaller.

        Returns:
            Batches (uint8 [B, H, W, 3], int64 [B]); the label is -1 where a photo has none.
        """
        ...

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Numbers of the photos that `evaluation` goes through, in its order; int64 [photos]."""
        ...

    def photo(self, number: int) -> Pixels:
        """Read one photo, uint8 [H, W, 3]; may be called by several threads at once.

        Raises:
            DataError: it cannot be read.
        """
        ...

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Labels of photos, int64 of the same shape; -1 where a photo has none."""
        ...

    def title(self, number: int) -> str:
        """What to call a photo in messages: its path, or its place in the benchmark."""
        ...


def batched(
    indices: Iterable[int], read: Callable[[int], Pixels | None], batch_size: int, limit: int | None = None
) -> Iterator[tuple[Pixels, NDArray[np.int64]]]:
    """Read photos one by one and hand them out in batches.

    Args:
        indices: Which photos, in order.
        read: Returns photo i as uint8 [H, W, 3], or None to skip it.
        batch_size: Photos per batch.
        limit: Stop after so many photos that could be read.

    Yields:
        (uint8 [B, H, W, 3], int64 [B]): the photos and their indices.
    """
    batch_size = min(batch_size, sys.maxsize)  # islice takes no more
    photos = islice(((i, p) for i in indices if (p := read(i)) is not None), limit)
    while batch := list(islice(photos, batch_size)):
        yield np.stack([p for _, p in batch]), np.array([i for i, _ in batch], dtype=np.int64)


def spread(count: int, limit: int | None) -> NDArray[np.int64]:
    """Return at most ``limit`` indices of ``count``, evenly spaced, so that sorted classes are all met.

    Args:
        count: How many there are.
        limit: How many are wanted; None for all.

    Returns:
        int64 [min(count, limit)], ascending.
    """
    if limit is None or limit >= count:
        return np.arange(count, dtype=np.int64)
    return np.arange(max(limit, 0), dtype=np.int64) * count // max(limit, 1)
