"""Write bytes to disk completely, or raise an error that says where and how many bytes were needed."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from p2vit.errors import P2vitError

#: Error numbers for a full disk, an exhausted quota, and a file that is too large.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Bytes per read while a file is hashed.
_CHUNK = 1 << 22


def cannot_write(path: Path, error: OSError, needed: int = 0) -> P2vitError:
    """Make the error for a file that could not be written.

    Args:
        path: Path as the user gave it.
        error: Error of the operating system.
        needed: Number of bytes to be written, 0 if unknown.
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
    """Return the free bytes on the disk of an existing or future path, or None if unknown."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def write_bytes(path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write a new file and flush it to the disk.

    Args:
        path: Path of the file. An existing file is replaced without a check.
        chunks: Content of the file, in order.

    Returns:
        (SHA-256 in hexadecimal, size in bytes).

    Raises:
        OSError: The file could not be written. A part of it may exist.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as file:
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            digest.update(rest)
            size += len(rest)
            while rest:
                # A raw write may write only a part. The next write writes the rest or raises the error.
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        P2vitError: The file cannot be read.
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
    """Flush the entries of a folder to the disk, if the system supports it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
