"""Reads standard-cell libraries in Liberty format: areas, input pins, the NAND2 and the best buffer."""

import re
from dataclasses import dataclass
from pathlib import Path

from p2vit.errors import did_you_mean
from p2vit.hdl.tools.missing import RtlError

#: Default library: Oklahoma State University cells, 180 nm, from Debian's package qflow-tech-osu018.
DEFAULT = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
PACKAGE = "qflow-tech-osu018"


@dataclass(frozen=True)
class Liberty:
    """Cell library.

    Attributes:
        path: Liberty file.
        name: Name of the library.
        areas: Cell → area, in the unit of the library, usually µm².
        nand2: Area of the smallest two-input NAND, which is one gate equivalent.
        inputs: Cell → its input pins, without clocks.
        buffer: Name, input and output of the buffer with the highest drive for its area; None if there is no buffer.
    """

    path: Path
    name: str
    areas: dict[str, float]
    nand2: float
    inputs: dict[str, frozenset[str]]
    buffer: tuple[str, str, str] | None


def load_liberty(path: Path | None) -> Liberty | None:
    """Read a cell library.

    Args:
        path: Liberty file; None means Debian's osu018.

    Returns:
        Library; None if ``path`` is None and the default is not installed.

    Raises:
        RtlError: The file cannot be read, or it has no cells with areas.
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
    cells = {cell.name: cell for part in re.split(r"\bcell\s*\(", text)[1:] if (cell := _cell(part))}
    if not named or not cells:
        raise RtlError(f"{path}: is not a Liberty file: no library with cells and areas is in it")
    areas = {name: cell.area for name, cell in cells.items()}
    nands = [area for name, area in areas.items() if re.search(r"nand2", name, re.IGNORECASE) and area > 0]
    buffers = [cell for cell in cells.values() if cell.buffers and cell.area > 0]
    best = max(buffers, key=lambda cell: (cell.drive / cell.area, cell.name), default=None)
    return Liberty(
        path,
        named[1],
        areas,
        min(nands) if nands else min(area for area in areas.values() if area > 0),
        {name: cell.inputs for name, cell in cells.items()},
        (best.name, *best.buffers) if best and best.buffers else None,
    )


@dataclass(frozen=True)
class _Cell:
    """One cell. ``buffers`` are input and output of a buffer; ``drive`` is the largest load capacitance."""

    name: str
    area: float
    inputs: frozenset[str]
    buffers: tuple[str, str] | None
    drive: float


def _cell(text: str) -> _Cell | None:
    """Parse the text after ``cell (``; return None for a cell without an area."""
    head = re.match(r"\s*\"?([^\s\")]+)\"?\s*\)", text)
    area = re.search(r"\barea\s*:\s*([\d.eE+-]+)", text)
    if not head or not area:
        return None
    clocks = set(re.findall(r"\b(?:clocked_on|enable)\s*:\s*\"[^\w\"]*(\w+)", text))
    pins = re.findall(r"\bpin\s*\(\s*\"?(\w+)\"?\s*\)(.*?)(?=\bpin\s*\(|\Z)", text, re.DOTALL)
    inputs = {name for name, body in pins if re.search(r"\bdirection\s*:\s*\"?input", body)}
    outputs = [(name, body) for name, body in pins if name not in inputs]
    buffers, drive = None, 0.0
    if len(inputs) == len(outputs) == 1 and not clocks:
        (only,), (output, body) = inputs, outputs[0]
        function = re.search(r"\bfunction\s*:\s*\"\s*\(?\s*(\w+)\s*\)?\s*\"", body)
        most = re.search(r"\bmax_capacitance\s*:\s*([\d.eE+-]+)", body)
        if function and function[1] == only:
            buffers, drive = (only, output), float(most[1]) if most else 0.0
    return _Cell(head[1], float(area[1]), frozenset(inputs - clocks), buffers, drive)
