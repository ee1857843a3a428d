"""The engine ``ray``: an existing Ray cluster, or a temporary one on this machine."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from p2vit.cluster.options import ClusterOptions
from p2vit.cluster.pool import check_server, imported
from p2vit.errors import P2vitError, first_line

#: Number of retries of a task whose worker was lost.
RETRIES = 5


def call(function: Callable[[Any], Any], item: Any) -> Any:
    """Call a function on a worker."""
    return function(item)


class RayPool:
    """A `Pool` on a Ray cluster.

    Args:
        ray: The imported package ``ray``, connected to a cluster.
        workers: Number of tasks at a time; None for one per CPU of the cluster.
    """

    def __init__(self, ray: Any, workers: int | None) -> None:
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._ray = ray
        self._call = ray.remote(max_retries=RETRIES, num_cpus=1)(call)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for every item, in order. See `Pool.map`."""
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
                f"--engine ray: a task was lost {RETRIES + 1} times, or the cluster was lost: {first_line(error)}. "
                "Check the workers, or use --engine local"
            ) from None


@contextmanager
def ray_pool(options: ClusterOptions) -> Iterator[RayPool]:
    """Connect to a Ray cluster, or start one on this machine, while the context is open.

    Raises:
        MissingPackageError: Ray is not installed.
        P2vitError: The cluster cannot be reached or started.
    """
    # These variables must be set before the import. The first one turns usage statistics off.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = imported("ray", "ray", "ray")
    address = options.address or os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    if mine:
        if address not in (None, "auto", "local"):
            check_server(address, "Ray cluster", "HOST:PORT, ray://HOST:PORT or auto", "ray start --head")
        try:
            ray.init(
                address=address,
                num_cpus=None if address else options.workers,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=True,
            )
        except Exception as error:  # Ray may raise any exception of the network or the system
            where = f"the cluster at {address}" if address else "a cluster on this machine"
            raise P2vitError(
                f"--engine ray: {where} cannot be reached or started: {first_line(error)}. State the address of a "
                "running cluster with --address, or use --engine local"
            ) from None
    try:
        yield RayPool(ray, options.workers)
    finally:
        if mine:
            ray.shutdown()
