"""The search log: a file with every candidate, from which a search that was killed continues."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError
from p2vit.files import LineFile

#: A candidate of the search: one width per layer, in the order of the layers.
Genome = tuple[int, ...]


class Journal:
    """The log of a search as JSON lines: first the settings, then one candidate per line in the order of evaluation.

    The log does not depend on time or machine. A search that was killed and continued writes the same bytes as one
    that ran through.

    Args:
        path: The file; None keeps the log in memory only.
        settings: Everything that the scores depend on. A file with other settings is an error.
        overwrite: Start a new log instead of continuing.

    Attributes:
        scores: Genome → SQNR in dB, in the order of evaluation.

    Raises:
        P2vitError: The file is not the log of a search, or is that of another search.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        self._file = None if path is None else LineFile(path)
        self.scores: dict[Genome, float] = {}
        self.settings = dict(settings)
        header = _line(self.settings)
        if path is None or self._file is None:
            return
        # The last line may be incomplete after a kill; its candidate is evaluated again.
        whole, rest = self._file.read("the log of a search")
        if overwrite:
            check_log(path, overwrite)
        elif not whole and rest and not header.startswith(rest):
            raise P2vitError(
                f"{path}: its first line is not that of a search log. Choose another file, or move it away"
            )
        if overwrite or not whole:
            self._file.cut()
            self._file.append(header)
            return
        if whole[0] != header:
            raise P2vitError(
                f"{path}: {_difference(whole[0], self.settings)}. Choose another file, or overwrite it"
            )
        for number, line in enumerate(whole[1:], start=2):
            try:
                entry = json.loads(line)
                self.scores[tuple(int(width) for width in entry["bits"])] = float(entry["sqnr_db"])
            except (ValueError, KeyError, TypeError):
                raise P2vitError(
                    f"{path}:{number}: not a candidate of a search. Choose another file, or overwrite it"
                ) from None
        self._file.cut(whole)

    def add(self, genome: Genome, score: float, generation: int, cost: float) -> None:
        """Add a candidate; it is on disk when this returns."""
        self.scores[genome] = score
        if self._file is None:
            return
        entry = {
            "index": len(self.scores) - 1,
            "generation": generation,
            "bits": list(genome),
            "cost": cost,
            "sqnr_db": score,
        }
        self._file.append(_line(entry))


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=True) + "\n"


def check_log(path: Path, overwrite: bool) -> None:
    """Check before a search that its log can be written to a file.

    Args:
        path: The file; it need not exist.
        overwrite: Whether the file will be overwritten. It must then be the log of a search.

    Raises:
        P2vitError: The path is not a regular file, or the file would be overwritten and is not a search log.
    """
    lines, rest = LineFile(path).read("the log of a search")
    if not overwrite or not (lines or rest):
        return
    keys = [{"search", "evolution"}, *({"index", "bits", "sqnr_db"} for _ in lines[1:])]
    for number, (line, needed) in enumerate(zip(lines or [rest], keys, strict=True), start=1):
        try:
            fits = needed <= set(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            fits = False
        if not fits:
            raise P2vitError(
                f"{path}:{number}: not a line of a search log, so the file is not overwritten. Move it away, or "
                "choose another file"
            )


def _difference(header: str, settings: Mapping[str, Any]) -> str:
    """Describe how the settings in a file differ from these."""
    try:
        there = json.loads(header)
        here = json.loads(_line(settings))
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    except (ValueError, TypeError, AttributeError):
        return "its first line is not that of a search log"
    return f"it logs a search with other settings ({', '.join(keys)})"
