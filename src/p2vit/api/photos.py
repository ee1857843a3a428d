"""Photos that a caller passes: by name (a folder or a benchmark), or in memory."""

import os
from typing import Any

from p2vit.data.memory import is_single_photo, to_photo_source
from p2vit.data.source import PhotoSource
from p2vit.program.preprocessing import Preprocessing


def name_of(photos: Any) -> str | None:
    """Return the path of a folder or the name of a benchmark, or None for photos in memory and single files."""
    if isinstance(photos, str | os.PathLike) and not is_single_photo(photos):
        return str(photos)
    return None


def data_option(photos: Any) -> dict[str, str]:
    """Return the workflow option ``data`` for photos that are given by name; empty for others."""
    name = name_of(photos)
    return {} if name is None else {"data": name}


def source_of(photos: Any, preprocessing: Preprocessing) -> PhotoSource | None:
    """Return the source of photos in memory and of single files, or None for photos that are given by name."""
    return None if name_of(photos) is not None else to_photo_source(photos, preprocessing)
