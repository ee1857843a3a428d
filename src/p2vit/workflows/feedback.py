"""What a workflow says while it works: notes, warnings and progress. By default it says nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

#: Called with (stage, steps done, steps in all).
ProgressCallback = Callable[[str, int, int], None]


def _nothing(stage: str, done: int, total: int) -> None:
    """Show no progress."""


class Feedback:
    """Receives what a workflow says; this one is silent. The command line prints it to standard error."""

    def note(self, text: str) -> None:
        """Say something that may be missed."""

    def warn(self, text: str) -> None:
        """Say something that must not be missed."""

    def progress(self) -> AbstractContextManager[ProgressCallback]:
        """A progress display: enter it, then call it with (stage, done, total)."""
        return nullcontext(_nothing)
