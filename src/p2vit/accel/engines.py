"""Where points are evaluated: in this process, on this machine's cores, or on a Ray or Dask cluster through
joblib.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from p2vit.accel.edit import edit_machine
from p2vit.accel.evaluate import Builder, Figures, evaluate_points
from p2vit.accel.explore import Evaluator
from p2vit.accel.machine import Machine
from p2vit.accel.problems import AccelError
from p2vit.accel.workload import Workload

ENGINES = ("local", "ray", "dask")


@contextmanager
def evaluator(
    machine: Machine,
    workloads: dict[int, Workload],
    *,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    build: Builder = edit_machine,
) -> Iterator[Evaluator]:
    """An evaluator of batches of points.

    Args:
        machine: The machine that points change.
        workloads: The model by weight bits.
        engine: ``local`` processes, or an existing ``ray`` or ``dask`` cluster.
        workers: Batches evaluated at a time; default this process's cores (local) or 16 (cluster).
        address: Of the cluster; default the engine's own.
        build: Makes the machine of a point.

    Yields:
        The evaluator. The figures are the same on every engine and with any number of workers.

    Raises:
        AccelError: if the engine is unknown or not installed.
    """
    if engine not in ENGINES:
        raise AccelError("engine", [f"unknown engine {engine!r}; allowed: {', '.join(ENGINES)}"])
    workers = workers or (len(os.sched_getaffinity(0)) if engine == "local" else 16)
    if engine == "local" and workers == 1:
        yield lambda points: evaluate_points(machine, workloads, points, build)
        return
    import joblib

    with (
        _backend(engine, address) as settings,
        joblib.parallel_config(n_jobs=workers, **settings),
        joblib.Parallel() as pool,
    ):

        def spread(points: Sequence[dict[str, float]]) -> list[Figures]:
            size = -(-len(points) // workers)
            batches = [points[start : start + size] for start in range(0, len(points), size)]
            found = pool(
                joblib.delayed(evaluate_points)(machine, workloads, batch, build) for batch in batches
            )
            return [figures for batch in found for figures in batch]

        yield spread


@contextmanager
def _backend(engine: str, address: str | None) -> Iterator[dict[str, Any]]:
    """Joblib settings of an engine, with its client open."""
    if engine == "local":
        yield {"backend": "loky"}
        return
    try:
        if engine == "ray":
            import ray
            from ray.util.joblib import register_ray

            ray.init(address=address, ignore_reinit_error=True, logging_level=logging.ERROR)
            register_ray()
            yield {"backend": "ray"}
        else:
            from distributed import Client

            with Client(address) if address else Client(processes=True, dashboard_address=None):
                yield {"backend": "dask"}
    except ModuleNotFoundError as error:
        package = {"ray": "ray", "dask": "distributed"}[engine]
        raise AccelError(
            "engine", [f"{engine} is not installed ({error.name}); pip install {package}"]
        ) from None
