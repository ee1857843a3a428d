"""Work that is shared out: over this machine's processes, a Ray cluster or a Dask cluster.

* ``options``: what users say about it (``--engine``, ``--address``, ``--workers``).
* ``pool``: opens the engine and maps a function over items, results in order.
* ``local``, ``ray_cluster``, ``dask_cluster``: one engine each.
"""

from p2vit.cluster.options import ENGINES, ClusterOptions
from p2vit.cluster.pool import Pool, open_pool

__all__ = ["ENGINES", "ClusterOptions", "Pool", "open_pool"]
