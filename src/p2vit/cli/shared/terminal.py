"""The one place that writes to standard output and error: what users named never reaches a terminal as it is."""

import os
import sys
from typing import Any

from p2vit.text import json_text, lines, message


def say(text: str) -> None:
    """Print a message on standard error."""
    _write(sys.stderr, message(text))


def show(text: str) -> None:
    """Print a verb's result for people on standard output; names in it have been `p2vit.text.shown`."""
    _write(sys.stdout, lines(text))


def show_json(value: Any, indent: int | None = None) -> None:
    """Print one JSON value on standard output, whatever its encoding is."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(sys.stdout, json_text(value, indent, encoding))


def _write(stream: Any, text: str) -> None:
    """Print a line; characters that the stream does not have are written by their numbers."""
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def open_standard_streams() -> None:
    """Give a process that was started with closed streams ones that lead nowhere.

    Otherwise the next file that is opened gets their number, and what libraries print is written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open
