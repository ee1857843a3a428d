"""Imports of optional packages at their first use. The error for a missing one names what to install."""

import importlib
from typing import Any

from p2vit.errors import P2vitError


def require(module: str, package: str | None = None, extra: str = "p2vit[onnx]") -> Any:
    """Import an optional module.

    Raises:
        P2vitError: The package is not installed. The message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = package or module
        raise P2vitError(
            f"{wanted} is not installed, and this step needs it ({error}); try: pip install '{extra}'"
        ) from None


def onnx() -> Any:
    """Import the ``onnx`` package and the submodules that are used here."""
    package = require("onnx")
    for name in ("helper", "numpy_helper", "checker", "shape_inference", "external_data_helper"):
        require(f"onnx.{name}", "onnx")
    return package


def onnxruntime() -> Any:
    """Import the ``onnxruntime`` package."""
    return require("onnxruntime")


def openvino() -> Any:
    """Import the ``openvino`` package."""
    return require("openvino", extra="p2vit[openvino]")
