"""Feedback of calls from Python: warnings with `warnings`, notes with `logging`, progress as a bar or a callback."""

import logging
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext

from p2vit.errors import P2vitWarning
from p2vit.workflows.feedback import Feedback, ProgressCallback
from p2vit.workflows.progress import Progress, in_notebook

LOG = logging.getLogger("p2vit")


class PythonFeedback(Feedback):
    """Passes on the warnings, notes and progress of one call from Python.

    Args:
        progress: A function that is called with (stage, done, total). True shows a bar in terminals and notebooks and
            lines of text elsewhere. False shows nothing. None shows a bar in terminals and notebooks, and nothing
            elsewhere.
    """

    def __init__(self, progress: ProgressCallback | bool | None = None) -> None:
        self._progress = progress

    def note(self, text: str) -> None:
        """Log a note to the logger ``p2vit`` at level INFO."""
        LOG.info(text)

    def warn(self, text: str) -> None:
        """Issue a `P2vitWarning`."""
        warnings.warn(text, P2vitWarning, stacklevel=4)

    def progress(self) -> AbstractContextManager[ProgressCallback]:
        """Return the progress display that the caller asked for."""
        if callable(self._progress):
            return nullcontext(self._progress)
        shown = self._progress if self._progress is not None else sys.stderr.isatty() or in_notebook()
        return Progress(silent=not shown)

    def warn_skipped(self, skipped: list[tuple[str, str]]) -> None:
        """Issue a warning for each photo that was skipped.

        Args:
            skipped: Name of the file and reason; a reason begins with the name.
        """
        for _, reason in skipped:
            self.warn(f"skipped {reason}")
