"""Progress on stderr: on a terminal a bar with rate and remaining time, elsewhere a line every few seconds."""

import importlib.util
import sys
import time
from types import TracebackType
from typing import Any

#: Seconds between two plain lines of one stage.
PLAIN_SECONDS = 5.0


class Progress:
    """A progress display. Call it with (stage, done, total) inside its ``with`` block.

    Args:
        silent: Show nothing at all.
    """

    def __init__(self, silent: bool = False) -> None:
        shows_bars = sys.stderr.isatty() or in_notebook()
        self._mode = "silent" if silent else "bar" if shows_bars else "plain"
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, float] = {}
        self._started: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> "Progress":
        """Start the display."""
        if self._mode == "bar":
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                ProgressColumn,
                Task,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bars
            from rich.text import Text

            class Rate(ProgressColumn):
                """Steps per second."""

                def render(self, task: Task) -> Text:
                    """Return the rate of the last half minute, or of the whole stage when it is done."""
                    rate = task.finished_speed or task.speed
                    return Text("" if rate is None else f"{rate:.1f}/s")

            self._bars = Bars(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                Rate(),
                TimeRemainingColumn(),
                console=Console(stderr=not in_notebook()),
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display."""
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
            start, before = self._started.setdefault(stage, (now, done))
            # The end of a stage is printed once, even within the interval.
            if last is None or (last >= 0 and (done >= total or now - last >= PLAIN_SECONDS)):
                pace = pace_text(done - before, total - done, now - start)
                print(f"{stage}: {done}/{total}{pace}", file=sys.stderr, flush=True)
                self._said[stage] = -1.0 if done >= total else now


def in_notebook() -> bool:
    """Whether this runs in a notebook that can show a bar: Jupyter, with ipywidgets installed."""
    shell = sys.modules.get("IPython")
    if shell is None or type(shell.get_ipython()).__name__ != "ZMQInteractiveShell":
        return False
    return importlib.util.find_spec("ipywidgets") is not None


def pace_text(steps: int, left: int, seconds: float) -> str:
    """Return rate and remaining time, such as ``, 12.5/s, 1:20 left``; empty before the first step is done.

    Args:
        steps: Number of steps done.
        left: Number of steps to do.
        seconds: Time of the steps done, in seconds.
    """
    if steps <= 0 or seconds <= 0:
        return ""
    rate = steps / seconds
    if left <= 0:
        return f", {rate:.1f}/s"
    minutes, rest = divmod(round(left / rate), 60)
    return f", {rate:.1f}/s, {minutes}:{rest:02d} left"
