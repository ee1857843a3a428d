"""The interface of a pool of workers, and opening the pool of an engine."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from p2vit.cluster.options import ClusterOptions
from p2vit.errors import MissingPackageError, P2vitError, first_line
from p2vit.standard_output import standard_output_aside
from p2vit.text import is_number

#: Timeout for connecting to a cluster, seconds.
CONNECT_TIMEOUT = 10.0


class Pool(Protocol):
    """Workers that apply a function to items.

    Attributes:
        workers: Number of tasks that run at a time.
    """

    workers: int

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Apply a function to every item.

        Args:
            function: Function that can be pickled. Its result must depend on the item only, because a task whose
                worker is lost runs again. It may be large, because it is sent to each worker only once.
            items: Items that can be pickled.

        Yields:
            The results in the order of the items, each as soon as it and all previous ones are done.

        Raises:
            P2vitError: A task raised it, or the cluster was lost.
        """
        ...


@contextmanager
def open_pool(options: ClusterOptions, local_workers: int = 1) -> Iterator[Pool]:
    """Connect to the engine or start it, while the context is open.

    Meanwhile, the output of Ray and Dask goes to standard error, because standard output may be JSON.

    Args:
        options: Engine, address and number of workers.
        local_workers: Number of processes of the engine ``local`` if the options do not state it.

    Yields:
        The pool.

    Raises:
        MissingPackageError: The engine's package is not installed.
        P2vitError: The cluster cannot be reached.
    """
    if options.engine == "local":
        from p2vit.cluster.local import local_pool

        yield local_pool(options.workers or local_workers)
        return
    with standard_output_aside():
        if options.engine == "ray":
            from p2vit.cluster.ray_cluster import ray_pool

            with ray_pool(options) as pool:
                yield pool
        else:
            from p2vit.cluster.dask_cluster import dask_pool

            with dask_pool(options) as tasks:
                yield tasks


def imported(module: str, package: str, engine: str) -> Any:
    """Import the package of an engine.

    Raises:
        MissingPackageError: The package is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingPackageError(package, f"--engine {engine}", "cluster") from None


def check_server(address: str, what: str, forms: str, start: str) -> None:
    """Check that a server answers at an address, because the engines themselves would retry for a long time.

    Args:
        address: ``HOST:PORT`` or ``SCHEME://HOST:PORT``.
        what: Name of the server for messages.
        forms: Valid forms of an address, for messages.
        start: Command that starts the server, for messages.

    Raises:
        P2vitError: The address is not valid, or no server answers.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not is_number(port) or not host:
        raise P2vitError(f"--address {address!r}: not a valid address; write {forms}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise P2vitError(
            f"--address {address}: no {what} can be reached there ({first_line(error)}). "
            f"'{start}' starts one and prints its address"
        ) from None
