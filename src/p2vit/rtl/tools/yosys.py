"""Yosys through its Python wheel, always in a child process: an error in a pass ends the process it runs in."""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from p2vit.errors import MissingPackageError
from p2vit.rtl.tools.process import run_tool

# Each pass is echoed by the wheel; `tee -q` keeps the rest quiet. Logs that matter go to files (`tee -o`).
_CHILD = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    libyosys.run_pass(line if line.startswith("tee ") else "tee -q " + line, design)
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
    run_tool([sys.executable, "-c", _CHILD], what, folder=folder, stdin=script, timeout=timeout)
