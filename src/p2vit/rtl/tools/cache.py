"""Compiled simulations, kept by the hash of all they are made from, outside any repository."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from p2vit.rtl.tools.missing import RtlError


def cache_folder() -> Path:
    """Folder of everything cached: ``$P2VIT_CACHE``, else ``p2vit`` in the user's cache folder. May be deleted."""
    if given := os.environ.get("P2VIT_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2vit"


def digest(parts: Iterable[str]) -> str:
    """Hash of texts, in order; where one ends and the next begins counts."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:32]


def cached(kind: str, parts: Iterable[str], product: str, make: Callable[[Path], None]) -> Path:
    """A file that is made once for the same inputs.

    Args:
        kind: Folder of the cache.
        parts: Every text the product depends on, tool versions included.
        product: Name of the file that ``make`` leaves in the folder it is given.
        make: Makes the product in a fresh folder. What else it leaves there is thrown away.

    Returns:
        Path of the product in the cache. Processes that make the same thing at the same time do not disturb each other.

    Raises:
        RtlError: the cache folder cannot be written.
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
