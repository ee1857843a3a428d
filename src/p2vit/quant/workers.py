"""Parallel work whose result does not depend on the number of threads.

The last bits of a matrix product depend on how many threads share it, and one changed bit can change how a weight is
rounded. The work is therefore split into tasks of fixed size. One thread does each task, and the results are combined
in the order of the tasks.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

from p2vit.processors import available_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """A pool of threads, each with single-threaded torch; a context manager.

    Args:
        count: Number of threads; None uses the processor cores of this machine, at most 8.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or min(8, available_cpus())

    def __enter__(self) -> "Workers":
        """Start the threads, and limit torch to one thread."""
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self.count, initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the threads, and restore the number of torch's threads."""
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads_before)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return ``[work(item) for item in items]``, computed in parallel without gradients."""

        def quiet(item: Item) -> Result:
            with torch.inference_mode():
                return work(item)

        return list(self._pool.map(quiet, items))
