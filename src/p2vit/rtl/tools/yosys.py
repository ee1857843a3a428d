"""Yosys through its Python wheel, always in a child process: an error in a pass ends the process it runs in."""

import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from p2vit.errors import MissingPackageError
from p2vit.rtl.tools.missing import RtlError
from p2vit.rtl.tools.process import run_tool

# The wheel says why it ends the process in the log only, so there is one.
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
    """Version of the wheel.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return metadata.version("pyosys")
    except metadata.PackageNotFoundError:
        raise MissingPackageError("pyosys", "turning hardware into Verilog", "rtl") from None


def run_yosys(passes: Sequence[str], what: str, folder: Path, timeout: float | None = None) -> None:
    """Run passes on one design.

    Args:
        passes: One pass per line, such as ``read_rtlil design.il``.
        what: What is done, for error messages.
        folder: Working directory: file names in passes are relative to it.
        timeout: Seconds.

    Raises:
        MissingPackageError: pyosys is not installed.
        RtlError: a pass fails.
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
