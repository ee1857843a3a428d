"""A file that remembers every candidate, so that a killed search continues where it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError
from p2vit.files import LineFile

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
        self._file = None if path is None else LineFile(path)
        self.scores: dict[Genome, float] = {}
        self.settings = dict(settings)
        header = _line(self.settings)
        if path is None or self._file is None:
            return
        # A line that the kill cut short is evaluated again.
        whole, rest = self._file.read("the log of a search")
        if overwrite:
            check_log(path, overwrite)
        elif not whole and rest and not header.startswith(rest):
            raise P2vitError(
                f"{path}: its first line is not that of a search. Name another file, or move it away"
            )
        if overwrite or not whole:
            self._file.cut()
            self._file.append(header)
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
        self._file.cut(whole)

    def add(self, genome: Genome, score: float, generation: int, cost: float) -> None:
        """Remember a candidate, on disk before it counts."""
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
    """Refuse a file that no log of a search may be written to, before time is spent.

    Args:
        path: The file; it need not exist.
        overwrite: It is to be started anew, so nothing but such a log may be in it.

    Raises:
        P2vitError: it is no plain file, or holds something else.
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
                f"{path}:{number}: is not a line of a search's log, so the file is not overwritten; move it away, or "
                "choose another place"
            )


def _difference(header: str, settings: Mapping[str, Any]) -> str:
    """What the file's settings and these do not agree on."""
    try:
        there = json.loads(header)
        here = json.loads(_line(settings))
        keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    except (ValueError, TypeError, AttributeError):
        return "its first line is not that of a search"
    return f"it logs a search with other settings ({', '.join(keys)})"
