"""Read photos ahead while the previous ones are processed."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Make items in a separate thread, a few items before they are needed.

    Decoding, resizing and the native engine release the interpreter lock, so they run in parallel.

    Args:
        items: The items. Different threads may read from it, but never two at once.
        depth: Number of items that are made ahead and stay in memory.

    Yields:
        The items in order. An exception while an item is made is raised in its place. A caller that stops early waits
        for the items that are being made.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as reader:
        pending = deque(reader.submit(next, source, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(reader.submit(next, source, end))
            yield item  # type: ignore[misc]
