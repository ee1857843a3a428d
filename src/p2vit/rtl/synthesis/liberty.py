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
        inputs: Cell → its input pins, without clocks.
        buffer: Name, input and output of the buffer that drives most for its area; None where there is none.
    """

    path: Path
    name: str
    areas: dict[str, float]
    nand2: float
    inputs: dict[str, frozenset[str]]
    buffer: tuple[str, str, str] | None


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
    """A cell; ``buffers`` are its input and output if it is a buffer, ``drive`` what its output may drive."""

    name: str
    area: float
    inputs: frozenset[str]
    buffers: tuple[str, str] | None
    drive: float


def _cell(text: str) -> _Cell | None:
    """What stands behind ``cell (``; None without an area."""
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
