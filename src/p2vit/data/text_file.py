"""Read small text files, such as label files, and refuse pipes that could block."""

import stat
from pathlib import Path

from p2vit.errors import DataError


def read_text(path: Path, what: str) -> str:
    """Read a text file as UTF-8, with or without a byte-order mark.

    A pipe that the shell has opened, as for ``<(...)``, is read. A named pipe is refused, because reading could block
    for ever.

    Args:
        path: The file.
        what: Description of the file for messages, e.g. ``label file``.

    Returns:
        The text.

    Raises:
        DataError: The file does not exist, is not a file, cannot be read, or is not UTF-8.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"{path}: no such {what}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a {what}: {error.strerror}") from None
    given_by_shell = stat.S_ISFIFO(mode) and str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/"))
    if not (stat.S_ISREG(mode) or given_by_shell):
        raise DataError(f"{path}: is not a regular file, so it cannot be read as a {what}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as a {what}: it is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a {what}: {error.strerror}") from None
