"""What every verb shares: one JSON object on stdout, all else on stderr, and the options that mean the same."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.terminal import say, show, show_json
from p2vit.text import in_strings, shown
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.plain import Result, plain
from p2vit.workflows.progress import Progress

#: What a verb returns when a check that it ran does not hold.
CHECK_FAILED = 1


class Output(Feedback):
    """Where a verb's result, notes and progress go.

    Attributes:
        as_json: The result is one JSON object.
        quiet: No progress and no notes; warnings stay.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def note(self, text: str) -> None:
        """Say something on stderr, unless quiet."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """Say on stderr what must not be missed."""
        say(f"warning: {text}")

    def progress(self) -> Progress:
        """A progress display; use it as a context manager and call it with (stage, done, total)."""
        return Progress(silent=self.quiet)

    def result(self, data: Result, text: str | Callable[[Any], str]) -> None:
        """Print the result: ``data`` as one JSON object, or ``text`` for people.

        Args:
            data: The verb's keys.
            text: What people read, or what makes it of ``data``, in which all names are `p2vit.text.shown` then.
        """
        if self.as_json:
            show_json(plain(data), indent=1)
        else:
            show(text if isinstance(text, str) else text(in_strings(data, shown)))


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--json`` and ``--quiet``, and hand it an `Output` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object on stdout.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress and no notes on stderr.")
    @functools.wraps(function)
    def wrapper(*args: Any, as_json: bool, quiet: bool, **options: Any) -> Any:
        return function(Output(as_json, quiet), *args, **options)

    return wrapper


program_argument = click.argument("program", metavar="OUT", type=click.Path(path_type=Path))
seed_option = click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Random seed."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="CPU threads. Default: what the machine offers, at most 8.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is there.")
strict_option = click.option(
    "--strict", is_flag=True, help="Refuse the first photo that cannot be read, instead of skipping it."
)
limit_option = click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many photos.")


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--engine``, ``--address`` and ``--workers``: where its work is done."""
    function = click.option(
        "--workers",
        type=click.IntRange(1, 4096),
        metavar="N",
        help="Tasks at a time. Default: what the machine or the cluster has.",
    )(function)
    function = click.option(
        "--address",
        metavar="HOST:PORT",
        help="An existing Ray or Dask cluster. Default: one is started on this machine.",
    )(function)
    return click.option(
        "--engine",
        type=click.Choice(["local", "ray", "dask"]),
        default="local",
        show_default=True,
        help="Where the work is done; the result is the same.",
    )(function)


backend_option = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="native, torch, reference, onnx; auto takes the fastest that works here.",
)
