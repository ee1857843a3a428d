"""A folder that holds a model: transformers' or timm's own, with shards or without, or one weight file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.loaded import FloatModel
from p2vit.models.options import LoadOptions
from p2vit.models.sources.weight_file import one_line, read_content, tensors_in

#: Names under which repositories keep their weights, in the order in which they are looked for.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: Suffixes that single out the weight file in a folder without a known name.
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
#: A file of JSON beyond this is no configuration.
MOST_JSON_BYTES = 64 << 20


def load_folder(folder: Path, options: LoadOptions) -> FloatModel:
    """Load the model that a folder holds.

    Args:
        folder: With ``config.json`` and weights, or with one weight file.
        options: What the user says beside it.

    Returns:
        The model.

    Raises:
        ModelError: it holds no model, several, or one that is not supported.
    """
    from p2vit.models.sources.checkpoint import load_checkpoint
    from p2vit.models.sources.huggingface import load_huggingface

    if (folder / "config.json").is_file() and options.arch is None:
        return load_huggingface(str(folder), options)
    if (folder / "program.json").is_file():
        raise ModelError(f"{folder}: a quantized program, where a float model is needed")
    try:
        inside = sorted(path for path in folder.iterdir() if path.suffix in FILE_SUFFIXES and path.is_file())
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error.strerror}") from None
    index = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if index is not None:
        return load_checkpoint(index, options)
    if len(inside) == 1:
        return load_checkpoint(inside[0], options)
    if inside:
        names = [path.name for path in inside]
        raise ModelError(f"{folder}: holds {len(names)} weight files: {some(names)}; name one of them")
    raise ModelError(
        f"{folder}: no model in it; a folder needs config.json and {WEIGHT_FILES[0]}, or one weight file"
    )


def read_repository_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a repository, whole or in shards.

    Args:
        path: The file, or the index of its shards.

    Returns:
        Names -> tensors.

    Raises:
        ModelError: a file is missing or damaged, or the index names files elsewhere.
    """
    if path.name.endswith(".index.json"):
        return read_shards(path)
    return tensors_in(read_content(path).value)


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
        state |= tensors_in(read_content(index.parent / name).value)
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
