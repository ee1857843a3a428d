"""Evaluates candidates in turn, or fanned out over processes or a cluster: the scores are the same."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from p2vit.errors import MissingPackageError, P2vitError, did_you_mean

Item_contra = TypeVar("Item_contra", contravariant=True)

#: ``serial`` needs nothing; ``loky`` is joblib's pool of processes; ``ray`` hands tasks to a Ray cluster.
BACKENDS = ("serial", "loky", "threading", "ray")


class Evaluate(Protocol[Item_contra]):
    """What is done with each candidate; must survive pickling."""

    def __call__(self, item: Item_contra, /) -> float:
        """Score of one candidate."""
        ...


def fan_out(evaluate: Evaluate, items: Sequence, backend: str = "serial", jobs: int = 2) -> Iterator[float]:
    """Scores in the order of the items, each as soon as it and all before it are done.

    Args:
        evaluate: Pure: its result depends on its argument alone.
        items: Candidates.
        backend: One of :data:`BACKENDS`, or any backend registered with joblib.
        jobs: Processes.

    Raises:
        P2vitError: there is no such backend.
        MissingPackageError: joblib is not installed, or what the backend needs.
    """
    if backend == "serial" or not items:
        return (evaluate(item) for item in items)
    return _joblib(evaluate, items, backend, jobs)


def _joblib(evaluate: Evaluate, items: Sequence, backend: str, jobs: int) -> Iterator[float]:
    try:
        from joblib import Parallel, delayed, parallel_config
    except ImportError:
        raise MissingPackageError("joblib", f"--backend {backend}", "explore") from None
    if backend == "ray":
        _register_ray()
    try:
        with parallel_config(backend=backend, n_jobs=jobs):
            ordered = Parallel(return_as="generator" if backend != "ray" else "list")
            results = ordered(delayed(evaluate)(item) for item in items)
    except ValueError as error:
        if "backend" not in str(error).lower():
            raise
        raise P2vitError(
            f"--backend {backend!r} is unknown.{did_you_mean(backend, BACKENDS)} "
            f"Allowed: {', '.join(BACKENDS)}, or a backend registered with joblib"
        ) from None
    return iter(results)


def _register_ray() -> None:
    """Make Ray known to joblib: by the package joblib-ray, or by Ray itself."""
    try:
        from joblib_ray import register_ray
    except ImportError:
        try:
            from ray.util.joblib import register_ray
        except ImportError:
            raise MissingPackageError("ray", "--backend ray", "explore") from None
    register_ray()
