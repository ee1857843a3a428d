"""How many threads a workflow uses."""

import sys

from p2vit.processors import available_cpus


def thread_count(asked: int | None) -> int:
    """How many threads to use: as ``--threads`` says, else what the machine offers, at most 8."""
    return asked or min(8, available_cpus())


def torch_threads(count: int) -> None:
    """Bound torch's own threads of the calling thread, where torch is in use.

    Work is shared by running batches side by side, one thread each: threads inside an operator wait for each other
    thousands of times per photo, and on a machine with other work a wait can last as long as the photo.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
