"""The engine ``local``: processes of this machine, or this process alone."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from p2vit.cluster.pool import imported


class Serial:
    """A `Pool` that computes each item in this process when its result is needed."""

    workers = 1

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for every item, in order. See `Pool.map`."""
        return (function(item) for item in items)


class Processes:
    """A `Pool` of processes by joblib, which replaces a process that dies.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._joblib = imported("joblib", "joblib", f"local --workers {workers}")

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for every item, in order. See `Pool.map`."""
        parallel = self._joblib.Parallel(n_jobs=self.workers, backend="loky", return_as="generator")
        return iter(parallel(self._joblib.delayed(function)(item) for item in items))


def local_pool(workers: int) -> Serial | Processes:
    """Return a pool of that number of processes; 1 means this process alone."""
    return Serial() if workers == 1 else Processes(workers)
