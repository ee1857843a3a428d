"""Writes to standard output and standard error, with all text made safe for terminals first."""

import os
import sys
from typing import Any

from p2vit.text import json_text, lines, message


def say(text: str) -> None:
    """Print a message on standard error."""
    _write(sys.stderr, message(text))


def show(text: str) -> None:
    """Print a verb's result on standard output. Names in it must already be made safe by `p2vit.text.shown`."""
    _write(sys.stdout, lines(text))


def show_json(value: Any, indent: int | None = None) -> None:
    """Print one JSON value on standard output, in any encoding of the stream."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(sys.stdout, json_text(value, indent, encoding))


def _write(stream: Any, text: str) -> None:
    """Print a line; write characters that the stream's encoding lacks as escapes."""
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def open_standard_streams() -> None:
    """Open the null device for each standard stream that was closed when the process started.

    Otherwise the next opened file would get the number of a closed stream, and printed text would be written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open
