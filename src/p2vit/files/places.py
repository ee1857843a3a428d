"""Check the paths that users give for outputs, before the work starts."""

import errno
import hashlib
import os
import stat
from pathlib import Path

from p2vit.errors import P2vitError

#: Largest length of a file name in bytes, on the usual file systems.
LONGEST_NAME = 255
#: Part of the names of temporary files and locks.
MARK = ".p2vit-"
#: Folders whose files are not on a disk. Shared memory counts as a disk.
_NO_DISK = ("/dev", "/proc", "/sys")
_DISK_AFTER_ALL = "/dev/shm"


def kind_of(path: Path) -> str | None:
    """Return the kind of a path: ``file``, ``folder``, ``symbolic link``, ``FIFO``, ``device``, ``socket``, or None.

    None means that the path does not exist.

    Raises:
        P2vitError: The path is not valid: its name is too long, one of its parents is a file, or the system refuses
            access.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        blocking = next(parent for parent in path.parents if parent.exists() and not parent.is_dir())
        raise P2vitError(
            f"{path}: {blocking} is a file, but must be a folder; choose another place"
        ) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise P2vitError(f"{path}: the name is too long; choose a shorter one") from None
        raise P2vitError(f"{path}: cannot be accessed: {error.strerror or error}") from None
    except ValueError as error:
        raise P2vitError(f"{str(path)!r}: is not a valid file name ({error})") from None
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
    """Return the absolute path of a file to be written, without links and dots.

    Args:
        path: Path as the user gave it.
        links: Whether it may be a link to a plain file. The target of the link is returned then.

    Raises:
        P2vitError: The path is a folder, a link, a device or the like, or no file can be made there.
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
    """Return the absolute path of a folder to be written into, without links and dots.

    Raises:
        P2vitError: The path is the root of the file system or is not a folder, or no folder can be made there.
    """
    path = Path(path)
    kind = kind_of(path)
    real = Path(os.path.realpath(path))
    if real == Path(real.anchor):
        raise P2vitError(f"{path}: is the root of the file system; choose a folder below it")
    _expect_disk(path)
    if kind == "symbolic link" and real.is_dir():
        return real
    if kind not in (None, "folder"):
        raise P2vitError(f"{path}: exists and is not a folder (it is a {kind}); choose another place")
    return real


def output_place(path: Path) -> Path:
    """Return `output_folder` of an existing folder, and `output_file` of any other path."""
    return output_folder(path) if Path(path).is_dir() else output_file(path)


def _expect_disk(path: Path) -> None:
    """Refuse paths that are not on a disk, such as /dev/stdout."""
    absolute = os.path.abspath(path)
    for given in {absolute, os.path.realpath(path.parent)}:
        below = [place for place in _NO_DISK if given == place or given.startswith(place + "/")]
        if below and not (given + "/").startswith(_DISK_AFTER_ALL + "/"):
            raise P2vitError(
                f"{path}: is in {below[0]}, which is not on a disk; choose a file on a disk "
                "(--json prints results on standard output)"
            )


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents.

    Returns:
        The folders that were made, outermost first.

    Raises:
        P2vitError: A folder cannot be made.
    """
    try:
        missing = [place for place in (folder, *folder.parents) if not place.exists()][::-1]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise P2vitError(f"{folder}: the folder cannot be made: {error.strerror or error}") from None
    return missing


def beside(path: Path, role: str) -> Path:
    """Return a hidden path beside an output, for a temporary file or folder or for its lock.

    Args:
        path: File or folder of the output.
        role: ``new`` or ``lock``.
    """
    name = f".{path.name}{MARK}{role}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{MARK}{role}"
    return path.with_name(name)


def is_ours_for_a_while(name: str) -> bool:
    """Return whether a name has the form that `beside` gives."""
    return name.startswith(".") and MARK in name and name.rsplit(MARK, 1)[1] in ("new", "lock")
