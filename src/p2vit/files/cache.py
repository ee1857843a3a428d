"""Files that are made once and kept: whoever finds one finds all of it."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.files.disk import cannot_write
from p2vit.files.places import make_folder


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """A file of a cache, made if it is not there.

    Args:
        path: The file.
        make: Makes it under the path it is given; files that it leaves beside come along.

    Returns:
        ``path``. Processes that make the same file at the same time do not disturb each other.

    Raises:
        P2vitError: the cache cannot be written.
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
