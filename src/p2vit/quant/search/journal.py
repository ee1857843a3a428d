"""A file that remembers every candidate, so that a killed search continues where it was."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError

#: A candidate: one width per layer, in the order of the layers.
Genome = tuple[int, ...]


class Journal:
    """JSON lines: the settings first, then one candidate per line in the order of their evaluation.

    Nothing in it depends on time or machine, so a search that was killed and continued leaves the same bytes
    as one that was not.

    Args:
        path: The file, or None to remember in memory only.
        settings: What the scores depend on; a file with other settings is refused.
        overwrite: Start anew instead of continuing.

    Raises:
        P2vitError: the file is of another search, or is none.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        self._path = path
        self.scores: dict[Genome, float] = {}
        self.settings = dict(settings)
        header = _line(self.settings)
        if path is None:
            return
        if overwrite or not path.exists() or not (whole := _whole_lines(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(header, encoding="utf-8")
            return
        if whole[0] != header:
            raise P2vitError(
                f"{path}: {_difference(whole[0], self.settings)}. Name another file, or overwrite it"
            )
        for number, line in enumerate(whole[1:], start=2):
            try:
                entry = json.loads(line)
                self.scores[tuple(int(width) for width in entry["bits"])] = float(entry["sqnr_db"])
            except (ValueError, KeyError, TypeError):
                raise P2vitError(
                    f"{path}:{number}: not a candidate of a search; name another file, or overwrite it"
                ) from None
        # A line that the kill cut short is evaluated again.
        path.write_text("".join(whole), encoding="utf-8")

    def add(self, genome: Genome, score: float, generation: int, cost: float) -> None:
        """Remember a candidate, on disk before it counts."""
        self.scores[genome] = score
        if self._path is None:
            return
        entry = {
            "index": len(self.scores) - 1,
            "generation": generation,
            "bits": list(genome),
            "cost": cost,
            "sqnr_db": score,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=True) + "\n"


def _whole_lines(path: Path) -> list[str]:
    """Lines that end in a newline; one that was cut short is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise P2vitError(f"{path}: cannot be read as the log of a search: {error}") from None
    return [line for line in lines if line.endswith("\n")]


def _difference(header: str, settings: Mapping[str, Any]) -> str:
    """What the file's settings and these do not agree on."""
    try:
        there = json.loads(header)
        here = json.loads(_line(settings))
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    except (ValueError, TypeError, AttributeError):
        return "its first line is not that of a search"
    return f"it logs a search with other settings ({', '.join(keys)})"
