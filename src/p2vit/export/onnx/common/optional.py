"""The optional packages of this folder; each is imported at first use, and a missing one names its extra."""

import importlib
from typing import Any

from p2vit.errors import P2vitError


def require(module: str, package: str | None = None, extra: str = "p2vit[onnx]") -> Any:
    """Import an optional module.

    Raises:
        P2vitError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = package or module
        raise P2vitError(
            f"{wanted} is not installed, and this step needs it ({error}); try: pip install '{extra}'"
        ) from None


def onnx() -> Any:
    """The ``onnx`` package with the submodules that are used here."""
    package = require("onnx")
    for name in ("helper", "numpy_helper", "checker", "shape_inference", "external_data_helper"):
        require(f"onnx.{name}", "onnx")
    return package


def onnxruntime() -> Any:
    """The ``onnxruntime`` package."""
    return require("onnxruntime")
