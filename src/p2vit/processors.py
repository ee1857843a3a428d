"""The number of processor cores that this process may use."""

import os


def available_cpus() -> int:
    """Return the number of processor cores that this process may use; at least 1.

    The affinity of the process counts on systems that have one, so that a container with two cores gets two.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
