"""Read photos in batches with several threads. Order and batches do not depend on the number of threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.data.source import Labels, PhotoSource, Pixels
from p2vit.errors import DataError


@dataclass(frozen=True)
class Batch:
    """A batch of photos.

    Attributes:
        places: int64 [B], positions of the photos in the requested order.
        pixels: uint8 [B, H, W, 3].
        labels: int64 [B], -1 for a photo without label.
        skipped: (position, path, reason) of photos of this batch that could not be read.
    """

    places: NDArray[np.int64]
    pixels: Pixels
    labels: Labels
    skipped: tuple[tuple[int, str, str], ...] = ()


def load_batches(
    source: PhotoSource,
    order: NDArray[np.int64],
    batch_size: int,
    *,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Read photos in batches.

    Batch k contains the photos k·batch_size to (k+1)·batch_size − 1 of the order, without those that cannot be read.
    It depends neither on the threads nor on the share. The last bits of a float model's outputs depend on the batch,
    so its results are the same however the work is divided.

    Args:
        source: The photos.
        order: int64 [photos], numbers of the photos.
        batch_size: Photos per batch.
        workers: Threads that read ahead, one batch each; 0 reads a batch when it is needed. Pillow releases the
            interpreter lock while it decodes and resamples, so threads are as fast as processes.
        share: (i, n): every n-th batch, starting with batch i.

    Yields:
        The batches of the share in order. A batch without readable photos is empty.

    Raises:
        DataError: A photo cannot be read, and the source is strict.
    """
    first, step = share
    starts = range(first * batch_size, len(order), step * batch_size)

    def read(start: int) -> Batch:
        return read_batch(source, order[start : start + batch_size], start)

    yield from side_by_side(read, starts, workers) if workers else map(read, starts)


def read_batch(source: PhotoSource, numbers: NDArray[np.int64], start: int) -> Batch:
    """Read one batch of photos.

    Args:
        source: The photos.
        numbers: int64 [B], numbers of the photos.
        start: Position of the first photo in the order.

    Returns:
        The photos that can be read, and the reasons for the others.

    Raises:
        DataError: A photo cannot be read, and the source is strict.
    """
    kept: list[int] = []
    pixels: list[Pixels] = []
    skipped: list[tuple[int, str, str]] = []
    for place, number in enumerate(numbers.tolist()):
        try:
            pixels.append(source.photo(number))
            kept.append(place)
        except DataError as error:
            if source.strict:
                raise
            skipped.append((start + place, source.title(number), str(error)))
    places = np.array(kept, dtype=np.int64)
    stacked = np.stack(pixels) if pixels else np.zeros((0, 0, 0, 3), np.uint8)
    return Batch(start + places, stacked, source.labels_of(numbers[places]), tuple(skipped))


def side_by_side(
    work: Callable[[Any], Any], items: Iterable[Any], workers: int, prepare: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """Apply a function to items in several threads. Only a few items are in memory at a time.

    Args:
        work: Function that is called in the threads.
        items: The items, read one by one when a thread is free.
        workers: Number of threads.
        prepare: Function that is called once in every thread.

    Yields:
        One result per item, in order.
    """
    with ThreadPoolExecutor(workers, initializer=prepare) as pool:
        running: deque[Future[Any]] = deque()
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
