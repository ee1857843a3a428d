"""Messages for limits of the machine or its operating system: memory, disk space, open files, processes."""

import errno
import re
from collections.abc import Sequence

from p2vit.errors import some

#: Options that reduce the memory of a verb, the most effective first.
MEMORY_OPTIONS = (
    "--batch-size",
    "--batch",
    "--calib-images",
    "--images",
    "--limit",
    "--workers",
    "--threads",
    "--readers",
)
#: How torch, ONNX Runtime, C++ and NumPy report that there is too little memory.
_SHORTAGE = re.compile(
    r"can't allocate memory|not enough memory|bad_alloc|out of memory|array is too big|allowed dimension exceeded",
    re.IGNORECASE,
)
#: The requested number of bytes in the messages of NumPy and torch.
_AMOUNT = re.compile(r"allocate:? ([0-9.]+ ?(?:[KMGTPE]i?B|bytes))|tried to allocate ([0-9]+ bytes)")
#: What the user can do, for each error number of the operating system.
_NEXT = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EFBIG: "make room there",
    errno.EMFILE: "allow more open files: ulimit -n 1024",
    errno.ENFILE: "close other programs, or ask for a higher limit of open files",
    errno.ENOMEM: "free memory, or use a machine with more",
    errno.EAGAIN: "allow more processes: ulimit -u",
    errno.EROFS: "give a folder that can be written",
}


def machine_limit(error: BaseException, options: Sequence[str] = ()) -> str | None:
    """Return the message for an error that a limit of the machine caused.

    Args:
        error: The exception.
        options: Long names of the verb's options. The message names those of `MEMORY_OPTIONS` among them.

    Returns:
        A message with the place and what to do, or None if the error has another cause.
    """
    short = isinstance(error, RuntimeError | ValueError) and _SHORTAGE.search(str(error))
    if short or isinstance(error, MemoryError):
        return _memory(error, options)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "the system starts no further thread; allow more with ulimit -u, or give fewer --threads"
    if not isinstance(error, OSError) or error.errno is None:
        return None
    reason = error.strerror or str(error)
    if error.errno == errno.ENOMEM:
        return _memory(error, options)
    place = error.filename if error.filename is not None else ""
    if isinstance(place, bytes):
        place = place.decode(errors="surrogateescape")
    if place == "":
        place = (
            "standard output, or a temporary folder"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "the system"
        )
    following = _NEXT.get(error.errno)
    return f"{place}: {reason}" + (f"; {following}" if following else "")


def _memory(error: BaseException, options: Sequence[str]) -> str:
    """Return the message for too little memory: the requested amount, and the options that need less."""
    found = _AMOUNT.search(str(error))
    amount = next((part for part in found.groups() if part), None) if found else None
    helpful = [option for option in MEMORY_OPTIONS if option in options]
    smaller = f"give a smaller {some(helpful, 3)}, " if helpful else ""
    needed = f"another {_round(amount)} could not be had" if amount else "no more could be had"
    return f"there is too little memory: {needed}; {smaller}free memory, or use a machine with more"


def _round(amount: str) -> str:
    """Return a number of bytes with a suitable unit, e.g. ``3.2 GiB``."""
    number = amount.removesuffix(" bytes")
    if number == amount or not number.isdigit():
        return amount
    value = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.3g} {unit}"
        value /= 1024
    raise AssertionError
