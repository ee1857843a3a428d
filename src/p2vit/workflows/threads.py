"""Number of threads of a workflow."""

import sys

from p2vit.processors import available_cpus


def thread_count(asked: int | None) -> int:
    """Return the number of threads: ``asked`` if given, else the number of CPUs, at most 8."""
    return asked or min(8, available_cpus())


def torch_threads(count: int) -> None:
    """Limit torch's threads within an operator, if torch is imported.

    Batches run side by side with one thread each. Threads within an operator wait for each other thousands of times per
    photo, and on a busy machine one wait can last as long as a photo.
    """
    if "torch" in sys.modules:
        import torch  # waits if another thread is still importing it; the entry of sys.modules alone may lack its names

        torch.set_num_threads(count)
