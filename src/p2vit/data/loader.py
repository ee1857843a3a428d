"""Photos read ahead by threads, in an order and in batches that do not depend on how many threads there are."""

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
    """Photos that run together.

    Attributes:
        places: int64 [B], their places in the order that was asked for.
        pixels: uint8 [B, H, W, 3].
        labels: int64 [B], -1 where a photo has none.
        skipped: (place, path, reason) of photos of this batch that could not be read.
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

    Batch k holds the photos k·batch_size and on of the order, without those that cannot be read: what is in it
    depends neither on the threads nor on the share. So figures of a float model, whose last bits depend on what
    runs together, are the same however the work is divided.

    Args:
        source: The photos.
        order: int64 [photos], their numbers.
        batch_size: Photos per batch.
        workers: Threads that read ahead, one batch each; 0 reads when a batch is asked for. Pillow decodes and
            resamples outside the interpreter's lock, so that threads do as well as processes.
        share: (which, of how many): every so-manieth batch.

    Yields:
        The share's batches in order; a batch of nothing but unreadable photos is empty.

    Raises:
        DataError: a photo cannot be read, and the source is strict.
    """
    first, step = share
    starts = range(first * batch_size, len(order), step * batch_size)

    def read(start: int) -> Batch:
        return read_batch(source, order[start : start + batch_size], start)

    yield from side_by_side(read, starts, workers) if workers else map(read, starts)


def read_batch(source: PhotoSource, numbers: NDArray[np.int64], start: int) -> Batch:
    """Read some photos.

    Args:
        source: The photos.
        numbers: int64, which.
        start: Place of the first one in the order.

    Returns:
        Those that can be read, and why the others cannot.

    Raises:
        DataError: one cannot be read, and the source is strict.
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
    """Results of ``work`` in order; at most ``workers`` run at once, and few items wait in memory.

    Args:
        work: Called in threads.
        items: Read one by one as places get free.
        workers: Threads.
        prepare: Called once in every thread.

    Yields:
        One result per item.
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
