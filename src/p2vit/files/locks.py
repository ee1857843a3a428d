"""One run per output: a second one is refused at once, and a run that was killed blocks nobody.

The lock is the operating system's own (``flock``), on a hidden file beside the output. It is gone with the process that
holds it, however that ends; the file that may be left says nothing by itself.
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

#: Outputs that this process writes: (thread, open lock file).
_held: dict[Path, tuple[int, int]] = {}
_guard = threading.Lock()
#: Some network file systems have no locks: runs are then not kept apart.
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Be the only run that writes an output. The thread that holds it may hold it again.

    Args:
        path: A file or folder; it need not exist. Its parents are made, and taken away again if nothing came to them.

    Raises:
        P2vitError: another process or thread writes there, which is named; or no lock can be had there.
    """
    real = output_place(path)
    with _guard:
        if (own := _held.get(real)) is not None:
            if own[0] != threading.get_ident():
                raise P2vitError(f"{path}: this process writes there already, in another thread")
            again = True
        else:
            again = False
            made = make_folder(real.parent)
            try:
                file, handle = _lock(path, real)
            except BaseException:
                _remove_empty(made)
                raise
            _held[real] = threading.get_ident(), handle
    if again:
        yield
        return
    try:
        yield
    finally:
        with _guard:
            del _held[real]
            _tidy(real)
            # Removed while it is held: whoever waits for it sees that the file has gone and takes a new one.
            if handle >= 0:
                file.unlink(missing_ok=True)
                os.close(handle)
            _remove_empty(made)


def one_writer(*parameters: str, only_with: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function run only while it alone writes the outputs that its parameters name.

    Args:
        parameters: Names of parameters that are paths; None as a value is no output.
        only_with: Name of a parameter without which the function only reads.
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
                        locks.enter_context(hold(Path(path)))
                return function(*args, **kwargs)

        return alone

    return decorate


def _argument(arguments: Mapping[str, Any], name: str) -> Any:
    """An argument of a call: given by itself, among further keywords, or in the object ``options``."""
    if name in arguments:
        return arguments[name]
    for value in arguments.values():
        if isinstance(value, dict) and name in value:
            return value[name]
    return getattr(arguments.get("options"), name, None)


def _lock(path: Path, real: Path) -> tuple[Path, int]:
    """The lock file of an output and its open handle; -1 where there are no locks."""
    file = beside(real, "lock")
    while True:
        try:
            handle = _open(file)
        except OSError as error:
            if error.errno in _NOT_WRITABLE and real.is_dir() and file.parent != real:
                # A mounted folder may be written where the folder around it may not.
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
        os.close(handle)  # its holder has removed it between opening and locking


def _open(file: Path) -> int:
    """Open or make a lock file; never through a link."""
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _tell(handle: int) -> None:
    """Write down who holds a lock, for whoever is refused. A full disk does not matter for that."""
    command = shlex.join(["p2vit", *sys.argv[1:]]) if sys.argv[:1] else "p2vit"
    text = f"process {os.getpid()} on {socket.gethostname()}: {command}"
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode("utf-8", "backslashreplace")[:500], 0)


def _told(handle: int) -> str:
    """Who holds a lock, as far as the file says."""
    with contextlib.suppress(OSError):
        text = os.pread(handle, 500, 0).decode("utf-8", "replace")
        shown = "".join(character if character.isprintable() else "?" for character in text)
        return f" ({shown})" if shown else ""
    return ""


def _tidy(folder: Path) -> None:
    """Remove an output folder that holds nothing but a record of nothing."""
    with contextlib.suppress(OSError, P2vitError):
        if {entry.name for entry in folder.iterdir()} == {RECORD} and not Record.read(folder).files:
            (folder / RECORD).unlink()
            folder.rmdir()


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made for an output that did not come."""
    with contextlib.suppress(OSError):
        for folder in reversed(folders):
            folder.rmdir()


def _forget() -> None:
    """A forked worker holds nothing: otherwise a lock would outlive the run that took it."""
    global _guard
    _guard = threading.Lock()
    for _, handle in _held.values():
        if handle >= 0:
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
