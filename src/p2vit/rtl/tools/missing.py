"""What RTL work needs besides p2vit, and what to say where it is not there."""

import importlib
import os
import shutil
from typing import Any

from p2vit.errors import MissingPackageError, P2vitError

#: Program → (Debian package, what it is for).
PROGRAMS = {
    "g++": ("g++", "compiling the simulated hardware"),
    "iverilog": ("iverilog", "the second simulator"),
    "vvp": ("iverilog", "the second simulator"),
    "sta": ("opensta", "timing and power of a netlist"),
}


class RtlError(P2vitError):
    """RTL that cannot be generated, simulated or synthesised; the message says what to do."""


def require(module: str, package: str, purpose: str) -> Any:
    """Import an optional module.

    Args:
        module: Its import name.
        package: Its distribution.
        purpose: What needs it, as the start of a sentence.

    Raises:
        MissingPackageError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingPackageError(package, purpose, "rtl") from None


def program(name: str) -> str:
    """Path of a program of the system.

    Args:
        name: Key of ``PROGRAMS``; for ``g++`` the environment's ``CXX`` goes first.

    Raises:
        RtlError: it is not there; the message names the package.
    """
    wanted = [os.environ.get("CXX", ""), "g++", "c++", "clang++"] if name == "g++" else [name]
    for candidate in wanted:
        if candidate and (path := shutil.which(candidate)):
            return path
    package, purpose = PROGRAMS[name]
    raise RtlError(f"{purpose} needs the program '{name}', which is not here; try: apt-get install {package}")
