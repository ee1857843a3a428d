"""Cache files: each is made once, and a file in the cache is always complete."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.files.disk import cannot_write
from p2vit.files.places import make_folder


def cache_folder() -> Path:
    """Return the cache folder: ``$P2VIT_CACHE``, else ``p2vit`` in the user's cache folder. It may be deleted."""
    if given := os.environ.get("P2VIT_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2vit"


class BoundedCache:
    """A folder of small entries by key, with a limit on their total size.

    An entry begins with its own SHA-256, so a damaged one is never used. Several processes may use the folder at once.
    What cannot be read or written is treated as missing: a cache must not stop the work.

    Attributes:
        folder: Folder of the entries.
        limit: Largest total size in bytes. Entries that were not used for the longest time are deleted first.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def get(self, key: str) -> bytes | None:
        """Return the content of an entry; None if there is none, or if it is damaged."""
        path = self.folder / key
        try:
            content = path.read_bytes()
            if content[:32] != hashlib.sha256(content[32:]).digest():
                path.unlink(missing_ok=True)
                return None
            os.utime(path)
        except OSError:
            return None
        return content[32:]

    def put(self, key: str, content: bytes) -> None:
        """Store an entry. It appears complete or not at all."""
        if len(content) + 32 > self.limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="making-", dir=self.folder)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            Path(name).replace(self.folder / key)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)

    def trim(self) -> None:
        """Delete the entries that were not used for the longest time until the rest keeps the limit."""
        try:
            found = [(path, path.stat()) for path in self.folder.iterdir() if path.is_file()]
        except OSError:
            return
        found.sort(key=lambda entry: entry[1].st_mtime)
        total = sum(status.st_size for _, status in found)
        for path, status in found:
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            total -= status.st_size


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Return a cache file, and make it first if it does not exist.

    Several processes may make the same file at the same time.

    Args:
        path: Path of the cache file.
        make: Function that writes the file at the path that it gets. Other files that it writes into the same folder
            are moved into the cache too.

    Returns:
        ``path``.

    Raises:
        P2vitError: The cache cannot be written.
    """
    if path.exists():
        return path
    make_folder(path.parent)
    try:
        scratch = Path(tempfile.mkdtemp(prefix="making-", dir=path.parent))
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        make(scratch / path.name)
        made = sorted(scratch.iterdir(), key=lambda file: file.name == path.name)
        if not made or made[-1].name != path.name:
            raise P2vitError(f"{path}: was not made; this is a defect of p2vit")
        for file in made:
            file.replace(path.parent / file.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path
