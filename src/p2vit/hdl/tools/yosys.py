"""Runs Yosys from its Python wheel, in a child process, because an error in a pass ends the process."""

import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from p2vit.errors import MissingPackageError
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.tools.process import run_tool

# The wheel writes the reason of an error only to the log.
_LOG = "yosys.log"
_CHILD = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    libyosys.run_pass(line if line.startswith("tee ") else "tee -q -a yosys.log " + line, design)
"""


@cache
def yosys_version() -> str:
    """Return the version of the wheel.

    Raises:
        MissingPackageError: The wheel is not installed.
    """
    try:
        return metadata.version("pyosys")
    except metadata.PackageNotFoundError:
        raise MissingPackageError("pyosys", "turning hardware into Verilog", "rtl") from None


def run_yosys(passes: Sequence[str], what: str, folder: Path, timeout: float | None = None) -> None:
    """Run passes on one design.

    Args:
        passes: Yosys commands, such as ``read_rtlil design.il``.
        what: Task, for error messages.
        folder: Working directory; file names in commands are relative to it.
        timeout: Time limit in seconds.

    Raises:
        MissingPackageError: pyosys is not installed.
        RtlError: A command fails.
    """
    yosys_version()
    script = "\n".join(passes)
    try:
        run_tool([sys.executable, "-c", _CHILD], what, folder=folder, stdin=script, timeout=timeout)
    except RtlError:
        log = folder / _LOG
        said = (
            re.findall(r"^ERROR: (.*)", log.read_text(errors="replace"), re.MULTILINE) if log.exists() else []
        )
        if not said:
            raise
        raise RtlError(f"{what} failed: {said[-1]}") from None
