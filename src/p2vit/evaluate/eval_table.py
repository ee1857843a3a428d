"""CSV files of results: one row per evaluation, which is appended, and one row per class."""

import csv
import io
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError, some
from p2vit.files import LineFile
from p2vit.program.graph import IntegerProgram
from p2vit.quant.config import METHODS
from p2vit.text import portable
from p2vit.version import __version__

#: Columns of an evaluation's row, which `eval_row` fills.
COLUMNS = (
    "model", "bits", "method", "seed", "calibration", "calibration_images", "data", "images", "top1", "top5",
    "top1_float", "top5_float", "agreement", "sqnr_db", "cosine_mean", "knn_top1", "knn_top1_float", "backend",
    "seconds", "program_sha256", "p2vit", "python", "numpy", "torch", "program",
)  # fmt: skip
CLASS_COLUMNS = ("name", "output", "images", "top1", "top5", "top1_float", "agreement", "sqnr_db")


def how_quantized(program: IntegerProgram) -> tuple[str, str]:
    """Return bits and method of a program.

    Returns:
        (``w8a8``, ``w4a8``, ..., or ``mixed``; a key of `METHODS`, or ``custom``). Both ``unknown`` if not recorded.
    """
    recorded = program.provenance.get("method")
    if not isinstance(recorded, dict):
        return "unknown", "unknown"
    width = int(recorded.get("weight_bits", 0))
    bits = "mixed" if recorded.get("layer_bits") else f"w{width}a8"
    for name, config in METHODS.items():
        like = replace(config, weight_bits=width, layer_bits=recorded.get("layer_bits", {}))
        if {**asdict(like), "layer_bits": dict(like.layer_bits)} == recorded:
            return bits, name
    return bits, "custom"


def eval_row(program: IntegerProgram, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of one evaluation, by the names of `COLUMNS`.

    Args:
        program: The program that was measured.
        result: The keys of ``p2vit eval --json``.
    """
    bits, method = how_quantized(program)
    calibration = program.provenance.get("calibration", {})
    own = {
        "model": result["model"] or program.provenance.get("source", ""),
        "bits": bits,
        "method": method,
        "seed": calibration.get("seed", ""),
        "calibration": calibration.get("source", ""),
        "calibration_images": calibration.get("photos", ""),
        "seconds": result["evaluation_seconds"],
        "p2vit": __version__,
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "torch": _version("torch"),
    }
    found = {**result, **(result["feature"] or {}), **own}
    return {column: "" if found.get(column) is None else found[column] for column in COLUMNS}


def check_table(path: Path) -> None:
    """Check that a row of `COLUMNS` can be appended to a file.

    Args:
        path: The CSV file. It may be missing.

    Raises:
        P2vitError: The file has other columns or cannot be read. It is not changed.
    """
    if not LineFile(path).exists():
        return
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise P2vitError(f"{path}: cannot be read as a CSV file: {error}") from None
    if not header:
        return
    if tuple(header) != COLUMNS:
        foreign = [name for name in header if name not in COLUMNS]
        missing = [name for name in COLUMNS if name not in header]
        parts = [f"has {some(foreign)}"] if foreign else []
        parts += [f"lacks {some(missing)}"] if missing else []
        raise P2vitError(
            f"{path}: its columns are not those of this release ({'; '.join(parts) or 'another order'}), so nothing "
            "was appended; give another file with --csv"
        )


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row in one write, with the header if the file is new.

    Args:
        path: The CSV file. It is created if it is missing.
        row: Values by the names of `COLUMNS`.

    Raises:
        P2vitError: The file has other columns, or cannot be written. Its content is not changed.
    """
    check_table(path)
    LineFile(path).append_row(csv_text(COLUMNS), csv_text((), [row[column] for column in COLUMNS]))


def class_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of ``per_class`` as CSV text."""
    lines = [[row[column] for column in CLASS_COLUMNS] for row in rows]
    return csv_text(CLASS_COLUMNS, *lines)


def csv_text(header: tuple[str, ...], *rows: list[Any]) -> str:
    """Return CSV lines. None becomes an empty cell, and empty rows are skipped."""
    lines = []
    for row in ([list(header)] if header else []) + [row for row in rows if row]:
        line = io.StringIO()
        # The writer quotes only the characters of its own line end, so this must contain both \r and \n.
        csv.writer(line, lineterminator="\r\n").writerow(
            ["" if cell is None else _cell(cell) for cell in row]
        )
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet reads as a formula: such text gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = portable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "'", "\t", "\r")) else text


def _version(package: str) -> str:
    """Return the version of an installed distribution, or an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
