"""Small text files that users name: read whole, or refused before anything waits for them."""

import stat
from pathlib import Path

from p2vit.errors import DataError


def read_text(path: Path, what: str) -> str:
    """Read a text file as UTF-8, with or without a byte-order mark.

    A pipe that the shell has opened, as of ``<(...)``, is read; one that has a name is refused, since reading would
    wait for somebody who writes.

    Args:
        path: The file.
        what: What it should be, for messages: ``label file``.

    Raises:
        DataError: it is not there, is no file, or is no text.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"{path}: no such {what}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a {what}: {error.strerror}") from None
    given_by_shell = stat.S_ISFIFO(mode) and str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/"))
    if not (stat.S_ISREG(mode) or given_by_shell):
        raise DataError(f"{path}: is no file, so it cannot be read as a {what}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as a {what}: it is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a {what}: {error.strerror}") from None
