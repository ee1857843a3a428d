"""One pool of workers, whatever the engine."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from p2vit.cluster.options import ClusterOptions
from p2vit.errors import MissingPackageError, P2vitError, first_line
from p2vit.standard_output import standard_output_aside
from p2vit.text import is_number

#: A cluster that does not answer within so many seconds is not there.
PATIENCE = 10.0


class Pool(Protocol):
    """Maps functions over items.

    Attributes:
        workers: Tasks that run at a time.
    """

    workers: int

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """``function(item)`` of every item, in the items' order, each as soon as it and all before it are done.

        Args:
            function: Must survive pickling, and its result must depend on the item alone: a task whose worker is
                lost runs again elsewhere. It may be large: it is sent to each worker once.
            items: Must survive pickling.

        Yields:
            The results.

        Raises:
            P2vitError: what a task raised, or the cluster was lost.
        """
        ...


@contextmanager
def open_pool(options: ClusterOptions, local_workers: int = 1) -> Iterator[Pool]:
    """Start or find the engine, and leave it when done.

    While it is open, what engines and their workers print goes to standard error: standard output may be
    somebody's JSON.

    Args:
        options: Where work is done.
        local_workers: Processes of the engine ``local`` where the options name no number.

    Yields:
        The pool.

    Raises:
        MissingPackageError: the engine's package is not installed.
        P2vitError: the cluster cannot be reached.
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
    """Import an engine's module, or say what to install.

    Raises:
        MissingPackageError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingPackageError(package, f"--engine {engine}", "cluster") from None


def expect_somebody(address: str, what: str, forms: str, start: str) -> None:
    """Refuse an address where nobody listens; the engines themselves would try for long.

    Args:
        address: ``HOST:PORT``, perhaps behind ``SCHEME://``.
        what: What should be there.
        forms: How its addresses are written.
        start: The command that starts one.

    Raises:
        P2vitError: nobody listens there, or it is no address.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not is_number(port) or not host:
        raise P2vitError(f"--address {address!r}: not an address; write {forms}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise P2vitError(
            f"--address {address}: no {what} can be reached there ({first_line(error)}). "
            f"'{start}' starts one and prints its address"
        ) from None
