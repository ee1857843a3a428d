"""Results as rows of CSV files: one row per evaluation, appended, and one row per class."""

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

#: Column → where it comes from is `eval_row`.
COLUMNS = (
    "model", "bits", "method", "seed", "calibration", "calibration_images", "data", "images", "top1", "top5",
    "top1_float", "top5_float", "agreement", "sqnr_db", "cosine_mean", "knn_top1", "knn_top1_float", "backend",
    "seconds", "program_sha256", "p2vit", "python", "numpy", "torch", "program",
)  # fmt: skip
CLASS_COLUMNS = ("name", "output", "images", "top1", "top5", "top1_float", "agreement", "sqnr_db")


def how_quantized(program: IntegerProgram) -> tuple[str, str]:
    """Width and method of a program by name: ``w8a8``, ``w4a8``, ``mixed``; a key of `METHODS`, or ``custom``."""
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
    """The row of `COLUMNS` of one evaluation.

    Args:
        program: What was measured.
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
    """Refuse a file that rows of `COLUMNS` cannot be appended to.

    Args:
        path: The CSV file; it need not exist.

    Raises:
        P2vitError: it has other columns, or cannot be read; it is left as it is.
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
            "was appended. Give --csv another file"
        )


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row, and the header before the first one, in one write.

    Args:
        path: The CSV file; it is made where it is not there.
        row: Of `COLUMNS`.

    Raises:
        P2vitError: it has other columns, or the disk refuses; what was in it stays.
    """
    check_table(path)
    LineFile(path).append_row(csv_text(COLUMNS), csv_text((), [row[column] for column in COLUMNS]))


def class_table(rows: list[dict[str, Any]]) -> str:
    """The rows of ``per_class`` as CSV."""
    lines = [[row[column] for column in CLASS_COLUMNS] for row in rows]
    return csv_text(CLASS_COLUMNS, *lines)


def csv_text(header: tuple[str, ...], *rows: list[Any]) -> str:
    """CSV lines; nothing for what is None or empty."""
    lines = []
    for row in ([list(header)] if header else []) + [row for row in rows if row]:
        line = io.StringIO()
        # The writer quotes what its own line end is made of, so it must be told of both kinds.
        csv.writer(line, lineterminator="\r\n").writerow(
            ["" if cell is None else _cell(cell) for cell in row]
        )
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def _cell(value: Any) -> Any:
    """A cell that no table program takes for a formula: text that begins as one gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = portable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "'", "\t", "\r")) else text


def _version(package: str) -> str:
    """Version of an installed distribution, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
