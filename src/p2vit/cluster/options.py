"""The user's options for distributing work."""

from dataclasses import dataclass

from p2vit.errors import P2vitError, did_you_mean

#: ``local`` is this machine; the others are clusters.
ENGINES = ("local", "ray", "dask")


@dataclass(frozen=True)
class ClusterOptions:
    """Engine, address and number of workers. The results do not depend on them.

    Attributes:
        engine: One of `ENGINES`.
        address: Address of an existing cluster: ``HOST:PORT`` (Ray), ``ray://HOST:PORT``, ``auto``, or
            ``tcp://HOST:PORT`` (Dask). None uses the cluster of the environment variable (``RAY_ADDRESS``,
            ``DASK_SCHEDULER_ADDRESS``) or starts a cluster on this machine.
        workers: Number of tasks at a time, at least 1. None uses the whole cluster.

    Raises:
        P2vitError: The engine is unknown, there are no workers, or the engine takes no address.
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
            raise P2vitError(f"--workers {self.workers}: must be at least 1")
        if self.address is not None and self.engine == "local":
            raise P2vitError(
                "--address: the engine 'local' has no address; add --engine ray or --engine dask"
            )
