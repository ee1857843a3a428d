"""Optional packages and programs of the RTL tools, and the errors if one is missing."""

import importlib
import os
import shutil
from typing import Any

from p2vit.errors import MissingPackageError, P2vitError

#: Program → (Debian package, purpose).
PROGRAMS = {
    "g++": ("g++", "compiling the simulated hardware"),
    "iverilog": ("iverilog", "the second simulator"),
    "vvp": ("iverilog", "the second simulator"),
    "sta": ("opensta", "timing and power of a netlist"),
}


class RtlError(P2vitError):
    """RTL cannot be generated, simulated or synthesized. The message says what to do."""


def require(module: str, package: str, purpose: str) -> Any:
    """Import an optional module.

    Args:
        module: Import name.
        package: Name of the distribution.
        purpose: Task that needs the package, as the start of a sentence.

    Raises:
        MissingPackageError: The package is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingPackageError(package, purpose, "rtl") from None


def program(name: str) -> str:
    """Find a program of the system.

    Args:
        name: Key of ``PROGRAMS``. For ``g++``, the environment variable ``CXX`` has priority.

    Returns:
        Path of the program.

    Raises:
        RtlError: The program is not installed; the message names the Debian package.
    """
    wanted = [os.environ.get("CXX", ""), "g++", "c++", "clang++"] if name == "g++" else [name]
    for candidate in wanted:
        if candidate and (path := shutil.which(candidate)):
            return path
    package, purpose = PROGRAMS[name]
    raise RtlError(f"{purpose} needs the program '{name}', which is not here; try: apt-get install {package}")
