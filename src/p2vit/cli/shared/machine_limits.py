"""Errors that say what the machine or its system refuses: memory, room, open files; not what p2vit got wrong."""

import errno
import re
from collections.abc import Sequence

from p2vit.errors import some

#: Options with which a verb takes less memory, most useful first.
LEVERS = (
    "--batch-size",
    "--batch",
    "--calib-images",
    "--images",
    "--limit",
    "--workers",
    "--threads",
    "--readers",
)
#: How torch, ONNX Runtime, C++ and NumPy (of more than any machine has) say that there is too little memory.
_SHORTAGE = re.compile(
    r"can't allocate memory|not enough memory|bad_alloc|out of memory|array is too big|allowed dimension exceeded",
    re.IGNORECASE,
)
#: How much was asked for, as NumPy and torch say it.
_AMOUNT = re.compile(r"allocate:? ([0-9.]+ ?(?:[KMGTPE]i?B|bytes))|tried to allocate ([0-9]+ bytes)")
#: What to do where the system refuses.
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
    """What to say where the machine, and neither the user's input nor p2vit, is why something failed.

    Args:
        error: What was raised.
        options: Long names of the verb's options; those of `LEVERS` among them are named.

    Returns:
        A message with the place and what to do; None where the error is of another kind.
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
    """Too little memory: how much was asked for, and which options need less."""
    found = _AMOUNT.search(str(error))
    amount = next((part for part in found.groups() if part), None) if found else None
    levers = [option for option in LEVERS if option in options]
    smaller = f"give a smaller {some(levers, 3)}, " if levers else ""
    needed = f"another {_round(amount)} could not be had" if amount else "no more could be had"
    return f"there is too little memory: {needed}; {smaller}free memory, or use a machine with more"


def _round(amount: str) -> str:
    """Bytes in a unit that people read."""
    number = amount.removesuffix(" bytes")
    if number == amount or not number.isdigit():
        return amount
    value = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.3g} {unit}"
        value /= 1024
    raise AssertionError
