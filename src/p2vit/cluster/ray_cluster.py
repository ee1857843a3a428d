"""A Ray cluster: an existing one, or one that is started on this machine for as long as it is needed."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from p2vit.cluster.options import ClusterOptions
from p2vit.cluster.pool import expect_somebody, imported
from p2vit.errors import P2vitError, first_line

#: How often a task is tried again whose worker was lost.
RETRIES = 5


def call(function: Callable[[Any], Any], item: Any) -> Any:
    """What a worker does."""
    return function(item)


class RayPool:
    """Tasks of a Ray cluster.

    Args:
        ray: The package, connected.
        workers: Tasks at a time; None for one per CPU of the cluster.
    """

    def __init__(self, ray: Any, workers: int | None) -> None:
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._ray = ray
        self._call = ray.remote(max_retries=RETRIES, num_cpus=1)(call)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """``function(item)`` of every item, in order."""
        shared = self._ray.put(function)
        waiting: deque[Any] = deque()
        for item in items:
            if len(waiting) >= 2 * self.workers:
                yield self._result(waiting.popleft())
            waiting.append(self._call.remote(shared, item))
        while waiting:
            yield self._result(waiting.popleft())

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            raise P2vitError(
                f"--engine ray: a task was lost {RETRIES + 1} times, or the cluster itself: {first_line(error)}"
            ) from None


@contextmanager
def ray_pool(options: ClusterOptions) -> Iterator[RayPool]:
    """Connect to a cluster, or start one here.

    Raises:
        MissingPackageError: Ray is not installed.
        P2vitError: the cluster cannot be reached.
    """
    # Ray reports home and watches for what an editor changed unless told otherwise; both before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = imported("ray", "ray", "ray")
    address = options.address or os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    if mine:
        if address not in (None, "auto", "local"):
            expect_somebody(address, "Ray cluster", "HOST:PORT, ray://HOST:PORT or auto", "ray start --head")
        try:
            ray.init(
                address=address,
                num_cpus=None if address else options.workers,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=True,
            )
        except Exception as error:  # whatever Ray meets on its way
            where = f"the cluster at {address}" if address else "a cluster on this machine"
            raise P2vitError(
                f"--engine ray: {where} cannot be reached or started: {first_line(error)}. Give the address of a "
                "running one with --address, or use --engine local"
            ) from None
    try:
        yield RayPool(ray, options.workers)
    finally:
        if mine:
            ray.shutdown()
