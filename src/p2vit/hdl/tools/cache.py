"""Cache of compiled simulations, by the hash of all their inputs, in the user's cache folder."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from p2vit.files import cache_folder
from p2vit.hdl.tools.missing import RtlError


def digest(parts: Iterable[str]) -> str:
    """Hash a sequence of texts. The boundaries between the texts are part of the hash."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:32]


def cached(kind: str, parts: Iterable[str], product: str, make: Callable[[Path], None]) -> Path:
    """Return a cached file; make it if it is not in the cache.

    Args:
        kind: Subfolder of the cache.
        parts: All texts that the file depends on, with the versions of the tools.
        product: Name of the file that ``make`` writes.
        make: Writes the file into the empty folder that it is given. Other files in that folder are deleted.

    Returns:
        Path of the file in the cache. Several processes may make the same file at the same time.

    Raises:
        RtlError: The cache folder cannot be written.
    """
    home = cache_folder() / kind
    target = home / f"{digest(parts)}-{product}"
    if target.exists():
        return target
    try:
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="making-", dir=home))
    except OSError as error:
        raise RtlError(
            f"{home}: the cache of compiled RTL cannot be written ({error.strerror}); set P2VIT_CACHE to another"
        ) from None
    try:
        make(scratch)
        (scratch / product).replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
