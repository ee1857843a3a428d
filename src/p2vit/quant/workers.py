"""Parallel work whose result does not depend on how many workers do it.

A matrix product's last bits depend on how many threads share it, and one flipped bit may round one weight the other
way. So the work is cut into tasks of fixed size, each done by one thread, and results are combined in task order.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """A pool of threads that each compute alone; use as a context manager.

    Args:
        count: Threads; by default what the machine offers, at most 8.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or min(
            8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )

    def __enter__(self) -> "Workers":
        """Start the threads, and keep torch from starting its own."""
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self.count, initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the threads and give torch its own back."""
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads_before)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """``[work(item) for item in items]``, in parallel; results in the order of the items."""

        def quiet(item: Item) -> Result:
            with torch.inference_mode():
                return work(item)

        return list(self._pool.map(quiet, items))
