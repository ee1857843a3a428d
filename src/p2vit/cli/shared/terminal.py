"""The one place that writes to standard output and error: what users named never reaches a terminal as it is."""

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
