"""What every verb shares: one JSON object on stdout, all else on stderr, and the options that mean the same."""

import functools
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from p2vit.cli.progress import Progress
from p2vit.errors import P2vitError

#: What a verb returns when a check that it ran does not hold.
CHECK_FAILED = 1


class Output:
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
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Say on stderr what must not be missed."""
        click.echo(f"warning: {text}", err=True)

    def refuse(self, message: str) -> None:
        """Say what is wrong with the input: for people, and for scripts where they asked for JSON."""
        click.echo(f"error: {message}", err=True)
        if self.as_json:
            click.echo(json.dumps({"error": message}, ensure_ascii=False))

    def progress(self) -> Progress:
        """A progress display; use it as a context manager and call it with (stage, done, total)."""
        return Progress(silent=self.quiet)

    def result(self, data: Mapping[str, Any] | BaseModel, text: str) -> None:
        """Print the result: ``data`` as one JSON object, or ``text`` for people."""
        click.echo(to_json(data) if self.as_json else text)


def plain(value: Any) -> Any:
    """Bring a result to what JSON has: models to objects, infinities and NaN to null, tuples to lists."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(data: Mapping[str, Any] | BaseModel) -> str:
    """One JSON object, indented."""
    return json.dumps(plain(data), indent=1, ensure_ascii=False, allow_nan=False)


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
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of every draw."
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
backend_option = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="native, torch, reference, onnx; auto takes the fastest that works here.",
)


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse a file that exists, before time is spent on its content.

    Args:
        path: A file to be written.
        overwrite: It may be replaced.

    Raises:
        P2vitError: it exists and may not be replaced, is a folder, or its folder cannot be made.
    """
    if path.is_dir():
        raise P2vitError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise P2vitError(f"{path}: exists already; choose another name, or allow overwriting (--overwrite)")
    make_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises:
        P2vitError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise P2vitError(f"{folder}: cannot be made a folder: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        P2vitError: the disk refuses.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise P2vitError(f"{path}: cannot be written: {error.strerror or error}") from None


def thread_count(asked: int | None) -> int:
    """How many threads to use: as ``--threads`` says, else what the machine offers, at most 8."""
    from p2vit.cli.machine import available_cpus

    return asked or min(8, available_cpus())


def torch_threads(count: int) -> None:
    """Bound torch's own threads of the calling thread, where torch is in use.

    Work is shared by running batches side by side, one thread each: threads inside an operator wait for each other
    thousands of times per photo, and on a machine with other work a wait can last as long as the photo.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
