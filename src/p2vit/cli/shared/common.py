"""Output and options that the verbs share: one JSON object on stdout, everything else on stderr."""

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

#: Exit status of a verb whose check failed.
CHECK_FAILED = 1


class Output(Feedback):
    """Prints a verb's result, notes, warnings and progress.

    Attributes:
        as_json: Print the result as one JSON object.
        quiet: Print no progress and no notes. Warnings are still printed.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def note(self, text: str) -> None:
        """Print a note on stderr, unless quiet."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        say(f"warning: {text}")

    def progress(self) -> Progress:
        """Return a progress display. Enter it as a context manager, then call it with (stage, done, total)."""
        return Progress(silent=self.quiet)

    def result(self, data: Result, text: str | Callable[[Any], str]) -> None:
        """Print the result on stdout: ``data`` as one JSON object, or else ``text``.

        Args:
            data: The documented JSON keys of the verb.
            text: The text for the terminal, or a function that makes it from ``data``. The function gets ``data``
                with every name made safe for terminals by `p2vit.text.shown`.
        """
        if self.as_json:
            show_json(plain(data), indent=1)
        else:
            show(text if isinstance(text, str) else text(in_strings(data, shown)))


def warn_skipped(out: Output, result: dict[str, Any]) -> None:
    """Print a warning on stderr for each photo that was skipped."""
    for entry in result.get("skipped", []):
        # A reason begins with the name of the file.
        out.warn(f"skipped {entry['reason']}")


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` and ``--quiet`` to a verb, and pass it an `Output` as its first argument."""

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
    help="Number of CPU threads. Default: the number of CPUs, at most 8.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace existing output.")
strict_option = click.option(
    "--strict", is_flag=True, help="Stop at the first photo that cannot be read, instead of skipping it."
)
limit_option = click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Use only the first N photos."
)


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--engine``, ``--address`` and ``--workers``, which say where a verb's work runs."""
    function = click.option(
        "--workers",
        type=click.IntRange(1, 4096),
        metavar="N",
        help="Number of tasks at a time. Default: the number of CPUs of the machine or cluster.",
    )(function)
    function = click.option(
        "--address",
        metavar="HOST:PORT",
        help="Address of an existing Ray or Dask cluster. Default: start one on this machine.",
    )(function)
    return click.option(
        "--engine",
        type=click.Choice(["local", "ray", "dask"]),
        default="local",
        show_default=True,
        help="Where the work runs: this machine, a Ray cluster or a Dask cluster. The result is the same.",
    )(function)


device_option = click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="Device of the back-end: cpu, cuda, or cuda:N for one of several GPUs. Only torch runs on a GPU.",
)
backend_option = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Back-end: native, torch, reference or onnx; auto uses the fastest one that works here.",
)
