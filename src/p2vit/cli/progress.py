"""Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

#: Seconds between two plain lines of one stage.
PLAIN_SECONDS = 5.0


class Progress:
    """Called with (stage, done, total); shows nothing outside its ``with`` block.

    Args:
        silent: Show nothing at all.
    """

    def __init__(self, silent: bool = False) -> None:
        self._mode = "silent" if silent else "bar" if sys.stderr.isatty() else "plain"
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, float] = {}

    def __enter__(self) -> "Progress":
        """Start the display."""
        if self._mode == "bar":
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of a stage are done."""
        if self._bars is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total)
            self._bars.update(self._tasks[stage], completed=done, total=total)
        elif self._mode == "plain":
            now = time.monotonic()
            last = self._said.get(stage)
            # The end of a stage is said once, whatever the time.
            if last is None or (last >= 0 and (done >= total or now - last >= PLAIN_SECONDS)):
                print(f"{stage}: {done}/{total}", file=sys.stderr, flush=True)
                self._said[stage] = -1.0 if done >= total else now
