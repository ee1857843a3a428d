"""Paths that people give for outputs: looked at before any time is spent."""

import errno
import hashlib
import os
import stat
from pathlib import Path

from p2vit.errors import P2vitError

#: Bytes that a name may have on the file systems in use.
LONGEST_NAME = 255
#: What stands in names of files that exist only while something is written.
MARK = ".p2vit-"
#: Places where names are not files on a disk. Shared memory is a disk.
_NO_DISK = ("/dev", "/proc", "/sys")
_DISK_AFTER_ALL = "/dev/shm"


def kind_of(path: Path) -> str | None:
    """What is there: ``file``, ``folder``, ``symbolic link``, ``FIFO``, ``device``, ``socket``; None for nothing.

    Raises:
        P2vitError: nothing can be there: a name is too long, a file stands where a folder is needed, or the system
            does not say.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        blocking = next(parent for parent in path.parents if parent.exists() and not parent.is_dir())
        raise P2vitError(f"{path}: {blocking} is a file, where a folder is needed") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise P2vitError(f"{path}: the name is too long; choose a shorter one") from None
        raise P2vitError(f"{path}: cannot be looked at: {error.strerror or error}") from None
    except ValueError as error:
        raise P2vitError(f"{str(path)!r}: is no name for a file ({error})") from None
    for test, name in (
        (stat.S_ISREG, "file"),
        (stat.S_ISDIR, "folder"),
        (stat.S_ISLNK, "symbolic link"),
        (stat.S_ISFIFO, "FIFO"),
        (stat.S_ISSOCK, "socket"),
    ):
        if test(mode):
            return name
    return "device"


def output_file(path: Path, links: bool = False) -> Path:
    """The place of a file to be written, free of links and dots.

    Args:
        path: As the user gave it.
        links: It may be a link to a plain file, which then is what is written.

    Raises:
        P2vitError: it is a folder, a link, a device or the like, or no file can be there.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "folder" or path.name in ("", ".", ".."):
        raise P2vitError(f"{path}: is a folder; give the name of a file")
    _expect_disk(path)
    if links and kind == "symbolic link":
        path = Path(os.path.realpath(path))
        kind = kind_of(path)
    if kind not in (None, "file"):
        raise P2vitError(f"{path}: is a {kind}, not a plain file; give the name of a plain file")
    return Path(os.path.realpath(path.parent)) / path.name


def output_folder(path: Path) -> Path:
    """The place of a folder to be written into, free of links and dots.

    Raises:
        P2vitError: it is the root of the file system, or something else than a folder is or must be there.
    """
    path = Path(path)
    kind = kind_of(path)
    real = Path(os.path.realpath(path))
    if real == Path(real.anchor):
        raise P2vitError(f"{path}: is the root of the file system; give a folder of its own")
    _expect_disk(path)
    if kind == "symbolic link" and real.is_dir():
        return real
    if kind not in (None, "folder"):
        raise P2vitError(f"{path}: exists and is no folder (it is a {kind}); choose another place")
    return real


def output_place(path: Path) -> Path:
    """The place of an output of either kind, as :func:`output_file` and :func:`output_folder` give it."""
    return output_folder(path) if Path(path).is_dir() else output_file(path)


def _expect_disk(path: Path) -> None:
    """Refuse names of the system that are not files on a disk, such as /dev/stdout."""
    absolute = os.path.abspath(path)
    for given in {absolute, os.path.realpath(path.parent)}:
        below = [place for place in _NO_DISK if given == place or given.startswith(place + "/")]
        if below and not (given + "/").startswith(_DISK_AFTER_ALL + "/"):
            raise P2vitError(
                f"{path}: lies in {below[0]}, where nothing can be kept; give a file on a disk "
                "(--json prints results on standard output)"
            )


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents.

    Returns:
        The folders that were not there before, outermost first.

    Raises:
        P2vitError: it cannot be made.
    """
    try:
        missing = [place for place in (folder, *folder.parents) if not place.exists()][::-1]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise P2vitError(f"{folder}: cannot be made a folder: {error.strerror or error}") from None
    return missing


def beside(path: Path, role: str) -> Path:
    """A hidden name next to a path, for a file or folder that exists only while the path is written.

    Args:
        path: The file or folder.
        role: ``new`` or ``lock``.
    """
    name = f".{path.name}{MARK}{role}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{MARK}{role}"
    return path.with_name(name)


def is_ours_for_a_while(name: str) -> bool:
    """Whether a name is of the kind that :func:`beside` gives."""
    return name.startswith(".") and MARK in name and name.rsplit(MARK, 1)[1] in ("new", "lock")
