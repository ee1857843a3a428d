"""Reserve standard output for the command's own output, which may be JSON."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def standard_output_aside() -> Iterator[None]:
    """Redirect standard output of libraries and child processes to standard error.

    If standard output is closed, nothing is redirected.
    """
    _flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        yield
        return
    try:
        # Some libraries write to sys.stdout, which may be another stream than file descriptor 1.
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    """Flush the output buffers of Python and the C library."""
    if sys.stdout is not None:
        sys.stdout.flush()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
