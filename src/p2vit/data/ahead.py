"""Reading photos while the ones before them are computed on."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, made by a thread of their own a little before they are wanted.

    Decoding and resizing release the interpreter lock, and so does the native engine.

    Args:
        items: One thread after the other asks it for items, never two at once.
        depth: How many items are made ahead; they stay in memory.

    Yields:
        The items. What making one raises is raised in its place. Whoever stops early waits for the items that are
        being made.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as reader:
        pending = deque(reader.submit(next, source, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(reader.submit(next, source, end))
            yield item  # type: ignore[misc]
