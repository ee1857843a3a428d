"""Lock outputs: only one run writes to an output, and a second run is refused at once.

The lock is a lock of the operating system (``flock``) on a hidden file beside the output. It ends with its process, so
a killed run blocks nobody. A lock file that is left behind has no meaning.
"""

import contextlib
import errno
import functools
import inspect
import os
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from p2vit.errors import P2vitError
from p2vit.files.places import beside, make_folder, output_place
from p2vit.files.record import RECORD, Record

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

P = ParamSpec("P")
R = TypeVar("R")

#: Outputs that this process has locked → (thread, handle of the lock file).
_locked: dict[Path, tuple[int, int]] = {}
#: Protects `_locked`.
_table_lock = threading.Lock()
#: Errors of file systems without locks, such as some network file systems. Nothing is locked there.
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def lock_output(path: Path) -> Iterator[None]:
    """Lock an output while the context is open. The same thread may lock it again.

    Args:
        path: File or folder, which need not exist. Missing parent folders are made, and removed again if they stay
            empty.

    Raises:
        P2vitError: Another process or thread writes to the output, or it cannot be locked.
    """
    real = output_place(path)
    with _table_lock:
        if (own := _locked.get(real)) is not None:
            if own[0] != threading.get_ident():
                raise P2vitError(
                    f"{path}: another thread of this process writes there; wait for it, or choose another place"
                )
            again = True
        else:
            again = False
            made = make_folder(real.parent)
            try:
                file, handle = _lock(path, real)
            except BaseException:
                _remove_empty(made)
                raise
            _locked[real] = threading.get_ident(), handle
    if again:
        yield
        return
    try:
        yield
    finally:
        with _table_lock:
            del _locked[real]
            _tidy(real)
            # The file is removed before the lock ends. A run that opened it before sees that and opens a new one.
            if handle >= 0:
                file.unlink(missing_ok=True)
                os.close(handle)
            _remove_empty(made)


def one_writer(*parameters: str, only_with: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that locks the outputs of a function while it runs.

    Args:
        parameters: Names of the parameters that are output paths. The value None means no output.
        only_with: Name of a parameter. If its value is None, the function writes nothing and nothing is locked.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def alone(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            if only_with and _argument(given.arguments, only_with) is None:
                return function(*args, **kwargs)
            with contextlib.ExitStack() as locks:
                for name in parameters:
                    if (path := _argument(given.arguments, name)) is not None:
                        locks.enter_context(lock_output(Path(path)))
                return function(*args, **kwargs)

        return alone

    return decorate


def _argument(arguments: Mapping[str, Any], name: str) -> Any:
    """Find an argument of a call: among the parameters, in ``**kwargs``, or as a field of ``options``."""
    if name in arguments:
        return arguments[name]
    for value in arguments.values():
        if isinstance(value, dict) and name in value:
            return value[name]
    return getattr(arguments.get("options"), name, None)


def _lock(path: Path, real: Path) -> tuple[Path, int]:
    """Lock an output. Return its lock file and the open handle, or -1 where there are no locks."""
    file = beside(real, "lock")
    while True:
        try:
            handle = _open(file)
        except OSError as error:
            if error.errno in _NOT_WRITABLE and real.is_dir() and file.parent != real:
                # A mounted folder may be writable although its parent is not.
                file = real / file.name
                continue
            raise P2vitError(f"{path}: cannot be written: {error.strerror or error}") from None
        if fcntl is None:
            os.close(handle)
            return file, -1
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = _told(handle)
            os.close(handle)
            raise P2vitError(
                f"{path}: another run of p2vit writes there{told}; wait for it, or choose another place"
            ) from None
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                file.unlink(missing_ok=True)
                return file, -1
            raise P2vitError(f"{path}: cannot be locked: {error.strerror or error}") from None
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(handle), file.stat()):
                _tell(handle)
                return file, handle
        os.close(handle)  # the file was removed between opening and locking


def _open(file: Path) -> int:
    """Open or create a lock file without following a link."""
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _tell(handle: int) -> None:
    """Write the process and its command into a lock file, for the message to other runs. A full disk is ignored."""
    command = shlex.join(["p2vit", *sys.argv[1:]]) if sys.argv[:1] else "p2vit"
    text = f"process {os.getpid()} on {socket.gethostname()}: {command}"
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode("utf-8", "backslashreplace")[:500], 0)


def _told(handle: int) -> str:
    """Read from a lock file which process has the lock; empty if it does not say."""
    with contextlib.suppress(OSError):
        text = os.pread(handle, 500, 0).decode("utf-8", "replace")
        shown = "".join(character if character.isprintable() else "?" for character in text)
        return f" ({shown})" if shown else ""
    return ""


def _tidy(folder: Path) -> None:
    """Remove an output folder that contains only an empty record."""
    with contextlib.suppress(OSError, P2vitError):
        if {entry.name for entry in folder.iterdir()} == {RECORD} and not Record.read(folder).files:
            (folder / RECORD).unlink()
            folder.rmdir()


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made for an output and are still empty."""
    with contextlib.suppress(OSError):
        for folder in reversed(folders):
            folder.rmdir()


def _forget() -> None:
    """Drop all locks in a forked worker. Otherwise a lock would last longer than the run that took it."""
    global _table_lock
    _table_lock = threading.Lock()
    for _, handle in _locked.values():
        if handle >= 0:
            os.close(handle)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
