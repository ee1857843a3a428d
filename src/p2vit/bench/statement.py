"""Who is faster, by how much, and how sure that is, in one sentence per runtime and batch size."""

from collections.abc import Sequence
from typing import Any

import numpy as np

#: Resamples of the bootstrap.
RESAMPLES = 1000


def ratio_interval(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of two medians.

    Args:
        theirs: Seconds of each call of the other runtime.
        ours: Seconds of each call of p2vit.

    Returns:
        The lower and the upper end.

    Source:
        Percentile bootstrap (Efron 1979): both samples are drawn anew with replacement; seed 0.
    """
    rng = np.random.default_rng(0)

    def medians(values: Sequence[float]) -> np.ndarray:
        array = np.asarray(values)
        return np.median(array[rng.integers(0, len(array), (RESAMPLES, len(array)))], axis=1)

    low, high = np.percentile(medians(theirs) / medians(ours), [2.5, 97.5])
    return round(float(low), 3), round(float(high), 3)


def statement(row: dict[str, Any]) -> str:
    """Return the sentence about another runtime's row with ``name``, ``batch``, ``ratio`` and ``ratio_interval``."""
    low, high = row["ratio_interval"]
    where = f"At batch {row['batch']}"
    if low <= 1 <= high:
        return (
            f"{where} no difference between p2vit and {row['name']} is shown "
            f"(ratio {row['ratio']:.2f}, 95 % interval {low:.2f} to {high:.2f})."
        )
    if row["ratio"] > 1:
        return (
            f"{where} p2vit is {row['ratio']:.2f} times as fast as {row['name']} "
            f"(95 % interval {low:.2f} to {high:.2f})."
        )
    return (
        f"{where} {row['name']} is {1 / row['ratio']:.2f} times as fast as p2vit "
        f"(95 % interval {1 / high:.2f} to {1 / low:.2f})."
    )
