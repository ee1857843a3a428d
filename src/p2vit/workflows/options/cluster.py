"""Options of the workflows whose work can be shared out."""

from typing import Literal

from pydantic.dataclasses import dataclass

from p2vit.cluster.options import ClusterOptions
from p2vit.workflows.options.base import CHECKED, Options, Positive


@dataclass(frozen=True, config=CHECKED, kw_only=True)
class SharedOut(Options):
    """Where the work is done; results do not depend on it.

    Attributes:
        engine: ``local`` is this machine; ``ray`` and ``dask`` are clusters.
        address: Address of an existing cluster; one is started on this machine if not given.
        workers: Tasks at a time; what the cluster has if not given.
    """

    engine: Literal["local", "ray", "dask"] = "local"
    address: str | None = None
    workers: Positive | None = None

    @property
    def cluster(self) -> ClusterOptions:
        """What `p2vit.cluster.open_pool` takes.

        Raises:
            P2vitError: an address without a cluster.
        """
        return ClusterOptions(self.engine, self.address, self.workers)
