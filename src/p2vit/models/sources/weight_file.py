"""Read weight files by their content. No code in a file is ever executed."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.sources.file_kind import HOW_TO_SAVE, file_kind
from p2vit.models.sources.plain_data import allowing, forbidden

#: A name with one of these suffixes means a weight file, even if the file does not exist.
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
#: Largest number of unknown classes beside the weights. A file with more is not a checkpoint.
MOST_CLASSES = 500


@dataclass(frozen=True)
class Content:
    """Content of a weight file.

    Attributes:
        value: Nested mappings with tensors and any other data of the checkpoint.
        unread: Names of the classes whose objects were not read.
    """

    value: Any
    unread: tuple[str, ...] = field(default=())


def read_file(path: Path) -> Content:
    """Read a weight file of any format.

    Args:
        path: The file. Its suffix is ignored.

    Returns:
        Content of the file.

    Raises:
        ModelError: The file is missing, damaged, of another format, or needs code to load.
    """
    kind = file_kind(path)
    if kind == "safetensors":
        return Content(read_safetensors(path))
    return read_torch(path, zipped=kind == "zip")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.

    Returns:
        Names -> tensors.

    Raises:
        ModelError: The file is damaged.
    """
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # a damaged file may raise any exception in the reader
        raise ModelError(
            f"{path}: not a readable safetensors file: {one_line(error)}. Download or save it again"
        ) from None


def read_torch(path: Path, *, zipped: bool) -> Content:
    """Read a torch checkpoint with ``weights_only``, which refuses to run code.

    Args:
        path: The file.
        zipped: Whether the file has torch's zip format (since 1.6).

    Returns:
        Content of the file, with stand-ins for objects of unknown classes.

    Raises:
        ModelError: The file is damaged, or needs code to load.
    """
    names = _classes(path) if zipped else []
    while True:
        if bad := next(filter(forbidden, names), None):
            raise ModelError(
                f"{path}: loading the file would run {bad}, so it is refused. If you trust the file, load it in your "
                f"own code and {HOW_TO_SAVE}"
            )
        try:
            # Pass an open file, because torch chooses the format by the suffix of a path.
            with allowing(names), warnings.catch_warnings(), path.open("rb") as file:
                warnings.simplefilter("ignore")
                return Content(torch.load(file, map_location="cpu", weights_only=True), tuple(names))
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file") from None
        except Exception as error:  # a damaged file may raise any exception in the unpickler
            unknown = re.search(r"GLOBAL (\S+)", str(error))
            # torch omits the module name of built-in functions.
            name = "" if unknown is None else unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"
            if not name or name in names or len(names) >= MOST_CLASSES:
                raise ModelError(f"{path}: {_reason(str(error), names)}") from None
            names.append(name)


def _classes(path: Path) -> list[str]:
    """List the classes in a checkpoint that are not plain data."""
    try:
        with allowing([]), path.open("rb") as file:
            return torch.serialization.get_unsafe_globals_in_checkpoint(file)[:MOST_CLASSES]
    except Exception:  # a damaged file; the error comes when it is loaded
        return []


def _reason(text: str, names: list[str]) -> str:
    """Say why torch could not read a file. torch's own texts are cut off and contain escape codes."""
    if "Unsupported operand" in text or "pickle protocol" in text:
        return (
            "written by pickle.dump with protocol 4 or later, which torch does not read safely; "
            f"load it where it was made and {HOW_TO_SAVE}"
        )
    if names:
        return (
            f"not readable as plain tensors: loading its objects of {', '.join(names[:3])} would run code, so it is "
            f"refused; {HOW_TO_SAVE}"
        )
    return "not readable as a torch checkpoint: damaged or cut off; download or save it again"


def one_line(error: BaseException) -> str:
    """Return the first line of an error's text without escape codes, at most 200 characters; its type if empty."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error)).strip()
    text = "".join(c if c.isprintable() else "?" for c in text.splitlines()[0]) if text else ""
    return (text[:200] + "...") if len(text) > 200 else text or type(error).__name__


def tensors_in(content: Any, most_levels: int = 8) -> dict[str, Tensor]:
    """Collect all tensors of a checkpoint under their full names.

    Args:
        content: Nested mappings.
        most_levels: Largest depth of nesting that is searched.

    Returns:
        Names, joined with dots -> tensors. Floating-point NumPy arrays become tensors.
    """
    import numpy as np

    found: dict[str, Tensor] = {}

    def walk(value: Any, name: str, level: int) -> None:
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            found[name] = torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
        elif isinstance(value, Mapping) and level < most_levels:
            for key, inner in value.items():
                key = key.decode("latin-1") if isinstance(key, bytes) else str(key)
                walk(inner, f"{name}.{key}" if name else key, level + 1)

    walk(content, "", 0)
    return found


def stated_architecture(content: Any) -> str | None:
    """Return the architecture that a checkpoint names, as the training scripts of timm and others write it.

    Args:
        content: Content of the checkpoint.

    Returns:
        The value of ``arch``, or of ``model`` or ``arch`` among its arguments; None if there is none.
    """
    if not isinstance(content, Mapping):
        return None
    arguments = content.get("args", content.get("hyper_parameters"))
    arguments = arguments if isinstance(arguments, Mapping) else getattr(arguments, "__dict__", {})
    for found in (content.get("arch"), arguments.get("model"), arguments.get("arch")):
        if isinstance(found, str) and found:
            return found
    return None
