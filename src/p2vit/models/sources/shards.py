"""Weights in one file or spread over several, and the JSON beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.sources.weight_file import Content, one_line, read_file, tensors_in

#: A file of JSON beyond this is no configuration.
MOST_JSON_BYTES = 64 << 20


def read_content(path: Path) -> Content:
    """Read a weight file of any kind, or all files of which it is the index.

    Args:
        path: The file; only an index is told by its name, ``*.index.json``.

    Returns:
        What it holds.

    Raises:
        ModelError: it is missing, damaged, of another kind, or asks to run code.
    """
    return Content(read_shards(path)) if path.name.endswith(".index.json") else read_file(path)


def read_shards(index: Path) -> dict[str, Tensor]:
    """Read weights that are spread over several files.

    Args:
        index: ``model.safetensors.index.json`` or the like; the files stand beside it.

    Returns:
        Names -> tensors.

    Raises:
        ModelError: the index is damaged, a file is missing, or tensors are not where it says.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, Mapping) or not places:
        raise ModelError(f"{index}: no 'weight_map' in it, which says where each tensor is")
    state: dict[str, Tensor] = {}
    for name in sorted({str(file) for file in places.values()}):
        if name != Path(name).name or name in (".", ".."):
            raise ModelError(f"{index}: names the file '{name}', which is not beside it")
        if not (index.parent / name).is_file():
            raise ModelError(
                f"{index}: the file {name} is missing beside it; download all files of the model"
            )
        state |= tensors_in(read_file(index.parent / name).value)
    if lost := sorted(set(map(str, places)) - set(state)):
        raise ModelError(f"{index}: tensors that are in none of its files: {some(lost)}")
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        ModelError: it is not there, too large, or holds something else.
    """
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size >> 20} MB are too many for a configuration")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable as JSON: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a JSON object is needed, not {type(content).__name__}")
    return content
