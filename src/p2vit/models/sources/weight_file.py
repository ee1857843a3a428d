"""Read weight files from disk, by their content. Nothing in a file is ever executed."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.sources.file_kind import HOW, file_kind
from p2vit.models.sources.plain_data import allowing, forbidden

#: Names that are taken for weight files even where no such file is there.
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
#: Classes beside the weights that are replaced by stand-ins; a file with more is no checkpoint.
MOST_CLASSES = 500


@dataclass(frozen=True)
class Content:
    """What a weight file holds.

    Attributes:
        value: Mappings in mappings, with tensors at their ends; whatever else a checkpoint holds.
        unread: Names of classes whose objects were left unread.
    """

    value: Any
    unread: tuple[str, ...] = field(default=())


def read_file(path: Path) -> Content:
    """Read a weight file of any kind.

    Args:
        path: The file; its suffix does not count.

    Returns:
        What it holds.

    Raises:
        ModelError: it is missing, damaged, of another kind, or asks to run code.
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
        ModelError: the file is damaged.
    """
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # the reader raises whatever a damaged file leads it to
        raise ModelError(f"{path}: not a readable safetensors file: {one_line(error)}") from None


def read_torch(path: Path, *, zipped: bool) -> Content:
    """Read a torch checkpoint with ``weights_only``, which refuses to run code.

    Args:
        path: The file.
        zipped: It is of torch's format since 1.6.

    Returns:
        What it holds, with stand-ins where objects of unknown classes are.

    Raises:
        ModelError: the file is damaged, or asks to run code.
    """
    names = _classes(path) if zipped else []
    while True:
        if bad := next(filter(forbidden, names), None):
            raise ModelError(
                f"{path}: asks to run {bad} while it is read, so it is refused. Files that need code to load are "
                f"never loaded; where you trust it, load it yourself and {HOW}"
            )
        try:
            # By an open file: from a path, torch tells the kind of a file by its suffix.
            with allowing(names), warnings.catch_warnings(), path.open("rb") as file:
                warnings.simplefilter("ignore")
                return Content(torch.load(file, map_location="cpu", weights_only=True), tuple(names))
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file") from None
        except Exception as error:  # the unpickler raises whatever a damaged file leads it to
            unknown = re.search(r"GLOBAL (\S+)", str(error))
            # torch leaves the module of built-in functions away.
            name = "" if unknown is None else unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"
            if not name or name in names or len(names) >= MOST_CLASSES:
                raise ModelError(f"{path}: {_reason(str(error), names)}") from None
            names.append(name)


def _classes(path: Path) -> list[str]:
    """Names of the classes in a checkpoint that are no plain data."""
    try:
        with allowing([]), path.open("rb") as file:
            return torch.serialization.get_unsafe_globals_in_checkpoint(file)[:MOST_CLASSES]
    except Exception:  # a damaged file; loading it says so
        return []


def _reason(text: str, names: list[str]) -> str:
    """Why torch could not read a file, in our own words: its texts are cut off, and coloured."""
    if "Unsupported operand" in text or "pickle protocol" in text:
        return (
            "written with a pickle protocol that torch does not read safely (4 or later), as pickle.dump does; "
            f"load it where it was made and {HOW}"
        )
    if names:
        return (
            f"not readable as plain tensors: it is built from {', '.join(names[:3])}, which needs code, so it is "
            f"refused; {HOW}"
        )
    return "not readable as a torch checkpoint: damaged or cut off; download or save it again"


def one_line(error: BaseException) -> str:
    """The first line of an error's text without escape codes and at most 200 characters, or its type."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error)).strip()
    text = "".join(c if c.isprintable() else "?" for c in text.splitlines()[0]) if text else ""
    return (text[:200] + "...") if len(text) > 200 else text or type(error).__name__


def tensors_in(content: Any, most_levels: int = 8) -> dict[str, Tensor]:
    """All tensors of a checkpoint under their full names.

    Args:
        content: Mappings in mappings.
        most_levels: How deep to look.

    Returns:
        Names, joined with dots -> tensors; NumPy arrays of numbers as tensors.
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
    """The architecture that a checkpoint names, as timm's and many training scripts write it.

    Args:
        content: Of a checkpoint.

    Returns:
        ``arch``, or ``model`` among its arguments; None when there is neither.
    """
    if not isinstance(content, Mapping):
        return None
    arguments = content.get("args", content.get("hyper_parameters"))
    arguments = arguments if isinstance(arguments, Mapping) else getattr(arguments, "__dict__", {})
    for found in (content.get("arch"), arguments.get("model"), arguments.get("arch")):
        if isinstance(found, str) and found:
            return found
    return None
