"""Read weights from one file or from several shards, and the JSON files beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.sources.weight_file import Content, one_line, read_file, tensors_in

#: Largest JSON file that is read, bytes. No configuration is larger.
MOST_JSON_BYTES = 64 << 20


def read_content(path: Path) -> Content:
    """Read a weight file of any format, or all shards that an index lists.

    Args:
        path: Weight file, or an index named ``*.index.json``.

    Returns:
        Content of the file or of all shards.

    Raises:
        ModelError: The file is missing, damaged, of another format, or needs code to load.
    """
    return Content(read_shards(path)) if path.name.endswith(".index.json") else read_file(path)


def read_shards(index: Path) -> dict[str, Tensor]:
    """Read weights that are split into several files (shards).

    Args:
        index: Index file, such as ``model.safetensors.index.json``. The shards are in the same folder.

    Returns:
        Names -> tensors.

    Raises:
        ModelError: The index is damaged, a shard is missing, or a tensor is not in the shard that the index names.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, Mapping) or not places:
        raise ModelError(f"{index}: the key 'weight_map' is missing, which says in which file each tensor is")
    state: dict[str, Tensor] = {}
    for name in sorted({str(file) for file in places.values()}):
        if name != Path(name).name or name in (".", ".."):
            raise ModelError(
                f"{index}: names the file '{name}', but only files in the same folder are allowed"
            )
        if not (index.parent / name).is_file():
            raise ModelError(
                f"{index}: the file {name} is missing in the same folder; download all files of the model"
            )
        state |= tensors_in(read_file(index.parent / name).value)
    if lost := sorted(set(map(str, places)) - set(state)):
        raise ModelError(f"{index}: lists tensors that none of its files contains: {some(lost)}")
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        ModelError: The file is missing, too large, or not a JSON object.
    """
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ModelError(
                f"{path}: {path.stat().st_size >> 20} MiB are too large for a configuration; at most "
                f"{MOST_JSON_BYTES >> 20} MiB are read"
            )
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable as JSON: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: contains a JSON {type(content).__name__}, but an object is needed")
    return content
