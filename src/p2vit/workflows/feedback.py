"""Notes, warnings and progress of a workflow. By default nothing is shown."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

#: A function that is called with (stage, steps done, total steps).
ProgressCallback = Callable[[str, int, int], None]


def _nothing(stage: str, done: int, total: int) -> None:
    """Show no progress."""


class Feedback:
    """Receives notes, warnings and progress, and discards them. The command line has a subclass that prints them."""

    def note(self, text: str) -> None:
        """Receive a note: information that the user may ignore."""

    def warn(self, text: str) -> None:
        """Receive a warning: information that the user must not miss."""

    def progress(self) -> AbstractContextManager[ProgressCallback]:
        """Return a progress display. Enter it as a context manager, then call it with (stage, done, total)."""
        return nullcontext(_nothing)
