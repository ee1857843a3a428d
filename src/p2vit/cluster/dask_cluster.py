"""The engine ``dask``: an existing Dask cluster, or a temporary one on this machine."""

import concurrent.futures
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from p2vit.cluster.options import ClusterOptions
from p2vit.cluster.pool import CONNECT_TIMEOUT, check_server, imported
from p2vit.errors import P2vitError, first_line
from p2vit.processors import available_cpus

#: Number of retries of a task whose worker or data was lost.
RETRIES = 5


def call(function: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    """Call a function on a worker. Its exception is returned as a result, so that Dask only reports lost workers."""
    try:
        return True, function(item)
    except Exception as error:
        return False, error


class DaskPool:
    """A `Pool` on a Dask cluster.

    Args:
        client: Connected Dask client.
        distributed: The imported package ``distributed``.
        workers: Number of tasks at a time; None for one per thread of the cluster.
    """

    def __init__(self, client: Any, distributed: Any, workers: int | None) -> None:
        self.workers = workers or max(1, sum(client.nthreads().values()))
        self._client = client
        self._lost = (distributed.KilledWorker, distributed.CancelledError, concurrent.futures.CancelledError)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for every item, in order. See `Pool.map`."""
        shared = self._shared(function)
        waiting: deque[tuple[Any, Any]] = deque()
        for item in items:
            if len(waiting) >= 2 * self.workers:
                yield self._result(function, *waiting.popleft())
            waiting.append((item, self._submit(shared, item)))
        while waiting:
            yield self._result(function, *waiting.popleft())

    def _shared(self, function: Callable[[Any], Any]) -> Any:
        return self._client.scatter([function], broadcast=True, hash=False)[0]

    def _submit(self, shared: Any, item: Any) -> Any:
        return self._client.submit(call, shared, item, pure=False, retries=RETRIES)

    def _result(self, function: Callable[[Any], Any], item: Any, future: Any) -> Any:
        for left in range(RETRIES, -1, -1):
            try:
                done, value = future.result()
                break
            except self._lost as error:
                if not left:
                    raise P2vitError(
                        f"--engine dask: a task was lost {RETRIES + 1} times, or the cluster was lost: "
                        f"{first_line(error)}. Check the workers, or use --engine local"
                    ) from None
                # The worker that was lost may have had the only copy of the function.
                future = self._submit(self._shared(function), item)
        if not done:
            raise value
        return value


@contextmanager
def dask_pool(options: ClusterOptions) -> Iterator[DaskPool]:
    """Connect to a Dask scheduler, or start a cluster on this machine, while the context is open.

    Raises:
        MissingPackageError: Dask is not installed.
        P2vitError: The cluster cannot be reached or started, or it has no workers.
    """
    distributed = imported("distributed", "distributed", "dask")
    address = options.address or os.environ.get("DASK_SCHEDULER_ADDRESS")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if address:
        check_server(address, "Dask scheduler", "tcp://HOST:PORT", "dask scheduler")
    try:
        if address:
            client = distributed.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
        else:
            cluster = distributed.LocalCluster(
                n_workers=options.workers or available_cpus(),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            client = distributed.Client(cluster, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except Exception as error:  # Dask may raise any exception of the network or the system
        where = (
            f"--address {address}: no Dask scheduler can be reached there"
            if address
            else ("--engine dask: no cluster can be started on this machine")
        )
        raise P2vitError(
            f"{where} ({first_line(error)}). 'dask scheduler' starts one and prints its address; "
            "'dask worker ADDRESS' adds workers to it"
        ) from None
    try:
        if address and not client.nthreads():
            raise P2vitError(
                f"--address {address}: the Dask cluster has no workers; add some with 'dask worker {address}'"
            )
        yield DaskPool(client, distributed, options.workers)
    finally:
        client.close()
        if not address:
            cluster.close()
