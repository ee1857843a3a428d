"""Keeps standard output for what a command prints itself: it may be somebody's JSON."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def standard_output_aside() -> Iterator[None]:
    """Send what libraries and child processes write to standard output to standard error instead.

    Where standard output is closed there is nothing to protect.
    """
    _flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        yield
        return
    try:
        # Some libraries write through Python's own stream, which need not be the file descriptor.
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    """Write out what Python and the C library hold back."""
    if sys.stdout is not None:
        sys.stdout.flush()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
