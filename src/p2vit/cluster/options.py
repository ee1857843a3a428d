"""What users say about where work is done."""

from dataclasses import dataclass

from p2vit.errors import P2vitError, did_you_mean

#: ``local`` is this machine; the others are clusters.
ENGINES = ("local", "ray", "dask")


@dataclass(frozen=True)
class ClusterOptions:
    """Where work is done; results do not depend on it.

    Attributes:
        engine: One of `ENGINES`.
        address: Of an existing cluster: ``HOST:PORT`` (Ray), ``ray://HOST:PORT``, ``auto``, or
            ``tcp://HOST:PORT`` (Dask). None starts one on this machine, or takes the one that the
            environment names (``RAY_ADDRESS``, ``DASK_SCHEDULER_ADDRESS``).
        workers: Tasks at a time, 1 or more. None takes what the cluster has.

    Raises:
        P2vitError: an unknown engine, no worker, or an address without a cluster.
    """

    engine: str = "local"
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise P2vitError(
                f"--engine {self.engine!r}: no such engine.{did_you_mean(self.engine, ENGINES)} "
                f"Allowed: {', '.join(ENGINES)}"
            )
        if self.workers is not None and self.workers < 1:
            raise P2vitError(f"--workers {self.workers}: at least 1 is needed")
        if self.address is not None and self.engine == "local":
            raise P2vitError("--address: only a cluster has one; add --engine ray or --engine dask")
