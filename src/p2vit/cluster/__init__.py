"""Distribute work over processes of this machine, a Ray cluster or a Dask cluster.

* ``options``: the user's options (``--engine``, ``--address``, ``--workers``).
* ``pool``: opens an engine and maps a function over items, with the results in order.
* ``local``, ``ray_cluster``, ``dask_cluster``: one engine each.
"""

from p2vit.cluster.options import ENGINES, ClusterOptions
from p2vit.cluster.pool import Pool, open_pool

__all__ = ["ENGINES", "ClusterOptions", "Pool", "open_pool"]
