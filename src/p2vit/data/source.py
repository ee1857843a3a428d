"""The protocol of photo sources: folders, benchmarks and photos in memory."""

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
    """Photos as a model's input: batches of uint8 [B, H, W, 3], one batch in memory at a time.

    Attributes:
        name: Name of the benchmark, or path of the folder.
        classes: Class names in label order; empty if the photos have no labels.
        skipped: (path, reason) of photos that could not be read so far.
        strict: Whether a photo that cannot be read is an error; otherwise it is skipped.
    """

    name: str
    classes: tuple[str, ...]
    skipped: list[tuple[str, str]]
    strict: bool

    def __len__(self) -> int:
        """Return the number of photos of `evaluation`."""
        ...

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw calibration photos without replacement, never from the test half of a benchmark.

        Args:
            count: Number of photos; all photos if the source has fewer.
            seed: Random seed. The same seed draws the same photos in the same order.
            batch_size: Photos per batch; the last batch may be smaller.

        Returns:
            Batches uint8 [B, H, W, 3].
        """
        ...

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Iterate over the evaluation photos in a fixed order.

        Args:
            limit: Largest number of photos, spread over the classes; None for all.
            batch_size: Photos per batch; the last batch may be smaller.

        Returns:
            Batches (pixels uint8 [B, H, W, 3], labels int64 [B]); the label is -1 for a photo without label.
        """
        ...

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Return the numbers of the photos of `evaluation`, in its order: int64 [photos]."""
        ...

    def photo(self, number: int) -> Pixels:
        """Read one photo, uint8 [H, W, 3]. Several threads may call this method at once.

        Raises:
            DataError: The photo cannot be read.
        """
        ...

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Return the labels of photos, int64 of the same shape; -1 for a photo without label."""
        ...

    def title(self, number: int) -> str:
        """Return the photo's name for messages: its path, or its number in the benchmark."""
        ...


def batched(
    indices: Iterable[int], read: Callable[[int], Pixels | None], batch_size: int, limit: int | None = None
) -> Iterator[tuple[Pixels, NDArray[np.int64]]]:
    """Read photos one by one and group them in batches.

    Args:
        indices: Indices of the photos, in order.
        read: Function that returns photo i as uint8 [H, W, 3], or None to skip it.
        batch_size: Photos per batch.
        limit: Largest number of photos, without skipped ones; None for all.

    Yields:
        (pixels uint8 [B, H, W, 3], indices int64 [B]).
    """
    batch_size = min(batch_size, sys.maxsize)  # islice takes no more
    photos = islice(((i, p) for i in indices if (p := read(i)) is not None), limit)
    while batch := list(islice(photos, batch_size)):
        yield np.stack([p for _, p in batch]), np.array([i for i, _ in batch], dtype=np.int64)


def spread(count: int, limit: int | None) -> NDArray[np.int64]:
    """Return at most ``limit`` of ``count`` indices, evenly spaced, so that all of the sorted classes occur.

    Args:
        count: Number of items.
        limit: Largest number of indices; None for all.

    Returns:
        int64 [min(count, limit)], ascending.
    """
    if limit is None or limit >= count:
        return np.arange(count, dtype=np.int64)
    return np.arange(max(limit, 0), dtype=np.int64) * count // max(limit, 1)
