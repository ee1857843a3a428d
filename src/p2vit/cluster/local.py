"""Processes of this machine, or this process alone."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from p2vit.cluster.pool import imported


class Serial:
    """Does everything in this process, one item after the other, when its result is asked for."""

    workers = 1

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """``function(item)`` of every item, lazily."""
        return (function(item) for item in items)


class Processes:
    """joblib's pool of processes, which survives a process that dies.

    Args:
        workers: Processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._joblib = imported("joblib", "joblib", f"local --workers {workers}")

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """``function(item)`` of every item, in order."""
        parallel = self._joblib.Parallel(n_jobs=self.workers, backend="loky", return_as="generator")
        return iter(parallel(self._joblib.delayed(function)(item) for item in items))


def local_pool(workers: int) -> Serial | Processes:
    """The pool of so many processes."""
    return Serial() if workers == 1 else Processes(workers)
