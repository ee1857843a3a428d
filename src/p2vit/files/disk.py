"""Bytes to disk: all of them, or an error that says where and how many were needed."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from p2vit.errors import P2vitError

#: The disk, the user's share of it, or the largest file that is allowed is used up.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Bytes per read while a file is hashed.
_CHUNK = 1 << 22


def cannot_write(path: Path, error: OSError, needed: int = 0) -> P2vitError:
    """The error for a file that the disk refuses.

    Args:
        path: As the user knows it.
        error: What the system said.
        needed: Bytes that were to be written, as far as is known.
    """
    reason = error.strerror or str(error)
    if error.errno not in _FULL:
        return P2vitError(f"{path}: cannot be written: {reason}")
    free = free_bytes(path)
    had = "" if free is None else f" and {free:,} are free"
    return P2vitError(
        f"{path}: cannot be written: {reason}; {needed:,} bytes are needed{had}. "
        "Make room there, or choose another place"
    )


def free_bytes(path: Path) -> int | None:
    """Bytes that may still be written where a path is or will be; None if nobody knows."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def write_bytes(path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write a new file and see it on the disk.

    Args:
        path: Where; what is there is replaced, so it must be a place of ours.
        chunks: Its content, in order.

    Returns:
        (sha256 in hexadecimal, bytes).

    Raises:
        OSError: the disk refuses; a part of the file may be there.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as file:
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            digest.update(rest)
            size += len(rest)
            while rest:
                # Raw writes may take a part: the rest follows, or says why not.
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def sha256_of(path: Path) -> str:
    """Hash of a file's content, hexadecimal.

    Raises:
        P2vitError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise P2vitError(f"{path}: cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """See the names in a folder on the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
