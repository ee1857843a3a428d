"""Import the optional libraries that models come from: timm, transformers and torchvision."""

import importlib
import sys
from typing import Any

import torch

from p2vit.errors import MissingPackageError, ModelError, first_line

#: The torch library that defines torchvision's missing operators. The definitions last as long as this object.
_FRAGMENT: list[torch.library.Library] = []
#: Library -> the extra of p2vit that installs it.
EXTRAS = {"timm": "timm", "transformers": "hf", "torchvision": "timm"}


def import_library(name: str) -> Any:
    """Import timm, transformers or torchvision.

    A torchvision that was built for another version of torch cannot load its compiled operators. Its import then
    fails, and so does the import of every library that imports torchvision. p2vit uses only Python code of
    torchvision, so this function declares the missing operators to torch. They are never called.

    Args:
        name: Import name of the library.

    Returns:
        The imported module.

    Raises:
        MissingPackageError: The library is not installed.
        ModelError: The library is installed, but its import fails.
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
    """Return the version of an imported library, or ``unknown`` if it states none."""
    return str(getattr(sys.modules.get(name), "__version__", "unknown"))


def _forget(name: str) -> None:
    """Remove partly imported modules, so that the next import starts from the beginning."""
    for module in list(sys.modules):
        if module.split(".")[0] in (name, "torchvision"):
            del sys.modules[module]
