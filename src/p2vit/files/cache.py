"""Cache files: each is made once, and a file in the cache is always complete."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.files.disk import cannot_write
from p2vit.files.places import make_folder


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
