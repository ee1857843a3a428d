"""What calls say while they work: warnings through `warnings`, notes through `logging`, progress as a bar or a call."""

import logging
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext

from p2vit.errors import P2vitWarning
from p2vit.workflows.feedback import Feedback, ProgressCallback
from p2vit.workflows.progress import Progress, in_notebook

LOG = logging.getLogger("p2vit")


class Talk(Feedback):
    """Where the warnings, notes and progress of one call go.

    Args:
        progress: Called with (stage, done, total); True shows a bar in terminals and notebooks and lines elsewhere;
            False shows nothing; None shows a bar in terminals and notebooks and nothing elsewhere.
    """

    def __init__(self, progress: ProgressCallback | bool | None = None) -> None:
        self._progress = progress

    def note(self, text: str) -> None:
        """Log it, for the logger ``p2vit`` at level INFO."""
        LOG.info(text)

    def warn(self, text: str) -> None:
        """Issue a `P2vitWarning`."""
        warnings.warn(text, P2vitWarning, stacklevel=4)

    def progress(self) -> AbstractContextManager[ProgressCallback]:
        """The display that was asked for."""
        if callable(self._progress):
            return nullcontext(self._progress)
        shown = self._progress if self._progress is not None else sys.stderr.isatty() or in_notebook()
        return Progress(silent=not shown)

    def warn_skipped(self, skipped: list[tuple[str, str]]) -> None:
        """Name every photo that was left out."""
        for _, reason in skipped:
            self.warn(f"skipped {reason}")
