"""The libraries that models come from: imported where they can be, and asked for nothing where they cannot."""

import importlib
import sys
from typing import Any

import torch

from p2vit.errors import MissingPackageError, ModelError, first_line

#: Keeps the operators that torchvision lacks defined.
_FRAGMENT: list[torch.library.Library] = []
#: Library -> the extra that installs it.
EXTRAS = {"timm": "timm", "transformers": "hf", "torchvision": "timm"}


def import_library(name: str) -> Any:
    """Import timm, transformers or torchvision.

    A torchvision that was built for another torch cannot load its compiled operators, and then refuses to be imported
    at all, and with it whatever imports it. Of torchvision only Python code is used here, so what it
    misses is declared, and never called.

    Args:
        name: The library.

    Returns:
        The module.

    Raises:
        MissingPackageError: it is not installed.
        ModelError: it is installed and cannot be imported.
    """
    for _ in range(8):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise ModelError(f"{name} is installed but cannot be imported: {first_line(error)}") from None
            raise MissingPackageError(name, f"a model of {name}'s", EXTRAS[name]) from None
        except Exception as error:
            missing = str(error).partition("operator torchvision::")[2].split(" ")[0].strip(".'\"")
            if not missing.isidentifier():
                raise ModelError(f"{name} is installed but cannot be imported: {first_line(error)}") from None
            if not _FRAGMENT:
                _FRAGMENT.append(torch.library.Library("torchvision", "FRAGMENT"))
            _FRAGMENT[0].define(f"{missing}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _forget(name)
    raise ModelError(
        f"{name} is installed but cannot be imported: its torchvision does not fit torch {torch.__version__}"
    )


def version(name: str) -> str:
    """Version of a library that was imported."""
    return str(getattr(sys.modules.get(name), "__version__", "unknown"))


def _forget(name: str) -> None:
    """Drop what was half imported, so that the next try starts anew."""
    for module in list(sys.modules):
        if module.split(".")[0] in (name, "torchvision"):
            del sys.modules[module]
