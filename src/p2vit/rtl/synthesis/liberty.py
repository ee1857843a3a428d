"""Standard-cell libraries: where the default one is, and what a gate equivalent is worth in one."""

import re
from dataclasses import dataclass
from pathlib import Path

from p2vit.errors import did_you_mean
from p2vit.rtl.tools.missing import RtlError

#: Of Debian's package qflow-tech-osu018: Oklahoma State University cells, 180 nm.
DEFAULT = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
PACKAGE = "qflow-tech-osu018"


@dataclass(frozen=True)
class Liberty:
    """A cell library.

    Attributes:
        path: The file.
        name: As the library calls itself.
        areas: Cell → area, in the library's unit (µm² in every library met so far).
        nand2: Area of the smallest two-input NAND: one gate equivalent.
    """

    path: Path
    name: str
    areas: dict[str, float]
    nand2: float


def load_liberty(path: Path | None) -> Liberty | None:
    """Read a library.

    Args:
        path: The file; None takes Debian's osu018 if it is installed.

    Returns:
        The library, or None where none was asked for and the default is not installed.

    Raises:
        RtlError: the file is not there, or holds no cells with areas.
    """
    if path is None:
        return load_liberty(DEFAULT) if DEFAULT.exists() else None
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        near = (
            did_you_mean(path.name, [p.name for p in path.parent.glob("*.lib")])
            if path.parent.is_dir()
            else ""
        )
        raise RtlError(f"{path}: cannot be read: {error.strerror}.{near}") from None
    named = re.search(r"\blibrary\s*\(\s*\"?([^\s\")]+)", text)
    areas = {}
    for cell in re.finditer(
        r"\bcell\s*\(\s*\"?([^\s\")]+)\"?\s*\)(.*?)\barea\s*:\s*([\d.eE+-]+)", text, re.DOTALL
    ):
        areas[cell[1]] = float(cell[3])
    if not named or not areas:
        raise RtlError(f"{path}: is not a Liberty file: no library with cells and areas is in it")
    nands = [area for name, area in areas.items() if re.search(r"nand2", name, re.IGNORECASE) and area > 0]
    return Liberty(
        path, named[1], areas, min(nands) if nands else min(area for area in areas.values() if area > 0)
    )
