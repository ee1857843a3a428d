"""Runs that end in the middle: killed before any of their steps on the disk, or on a disk that fills up."""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

#: Before each of these the process may be killed. ``os.fsync`` is counted too.
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
KILLED, REFUSED, DONE = 9, 2, 0


def in_child(function: Callable[[], object], prepare: Callable[[], None] = lambda: None) -> int:
    """Run something in a forked process.

    Returns:
        `DONE`, `REFUSED` when it raised a `P2vitError`, `KILLED` when it was, 1 for any other error.
    """
    from p2vit.errors import P2vitError

    child = os.fork()
    if child == 0:
        code = 1
        try:
            prepare()
            function()
            code = DONE
        except P2vitError:
            code = REFUSED
        except BaseException as error:
            sys.__stderr__.write(f"{type(error).__name__}: {error}\n")
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_before(step: int, function: Callable[[], object], root: Path) -> bool:
    """Run something in a process that is killed before its step number ``step`` below ``root``.

    Returns:
        Whether it was killed; False when it had fewer steps and finished.
    """

    def prepare() -> None:
        left = [step]
        below = str(root)

        def count(*_: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                os._exit(KILLED)

        def hook(event: str, arguments: tuple) -> None:
            if event in EVENTS and any(str(argument).startswith(below) for argument in arguments[:2]):
                count()

        sys.addaudithook(hook)
        true = os.fsync

        def fsync(handle: int) -> None:
            count()
            true(handle)

        os.fsync = fsync

    code = in_child(function, prepare)
    assert code in (DONE, KILLED)
    return code == KILLED


def every_kill(function: Callable[[], object], root: Path, fresh: Callable[[], None]) -> Iterator[int]:
    """Kill something before each of its steps in turn.

    Args:
        function: What is killed.
        root: Steps below it count.
        fresh: Makes the state that each run begins with.

    Yields:
        The step before which it was killed; what it left lies below ``root``.
    """
    for step in range(10_000):
        fresh()
        if not killed_before(step, function, root):
            assert step > 3, "hardly anything was written"
            return
        yield step


def on_a_disk_of(size: int, function: Callable[[], object]) -> int:
    """Run something where no file may get longer than ``size`` bytes; the code of :func:`in_child`."""
    return in_child(function, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
