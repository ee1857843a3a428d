"""The record in a folder of what p2vit wrote there: names, hashes, and which of them belong together.

``.p2vit-files.json`` depends on nothing but what was written, so the same outputs leave the same record. Only what
it names, unchanged, is ever replaced or removed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from p2vit.errors import P2vitError
from p2vit.files.places import kind_of

RECORD = ".p2vit-files.json"
_FORMAT, _VERSION = "p2vit-files", 1
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Written:
    """A file that p2vit wrote.

    Attributes:
        set: The files it belongs to: ``program``, ``rtl`` and the like, which fill folders; else the name of the
            main file of the set.
        hashes: sha256 it may have, hexadecimal: one, or two while it is being replaced.
    """

    set: str
    hashes: tuple[str, ...]


@dataclass
class Record:
    """What was written into a folder.

    Attributes:
        files: By name relative to the folder, with forward slashes.
        unfinished: Sets that a run began and did not finish, with how it was asked for them. Empty text: it was
            replacing files when it was stopped.
    """

    files: dict[str, Written] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> "Record":
        """The record of a folder; an empty one if there is none.

        Raises:
            P2vitError: a file of that name is none.
        """
        path = folder / RECORD
        kind = kind_of(path)
        if kind is None:
            return Record()
        try:
            if kind != "file" or path.stat().st_size > _LARGEST:
                raise ValueError(f"it is a {kind}")
            found = json.loads(path.read_bytes())
            if found["format"] != _FORMAT or found["version"] != _VERSION:
                raise ValueError("another format")
            files = {
                inside(name): Written(str(entry["set"]), tuple(map(str, entry["sha256"])))
                for name, entry in found["files"].items()
            }
            unfinished = {str(name): str(text) for name, text in found.get("unfinished", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise P2vitError(
                f"{path}: is not a record of this release of p2vit; move it away, then nothing in {folder} counts as "
                "written by p2vit"
            ) from None
        return Record(files, unfinished)

    def encode(self) -> bytes:
        """The file's bytes."""
        files = {
            name: {"set": entry.set, "sha256": list(entry.hashes)}
            for name, entry in sorted(self.files.items())
        }
        content = {"format": _FORMAT, "version": _VERSION, "files": files}
        if self.unfinished:
            content["unfinished"] = dict(sorted(self.unfinished.items()))
        return (json.dumps(content, indent=1) + "\n").encode()

    def names(self, of: str) -> list[str]:
        """Files of a set."""
        return [name for name, entry in self.files.items() if entry.set == of]

    def fills_a_folder(self, of: str) -> bool:
        """Whether a set is a whole folder's content rather than one file and what goes beside it."""
        return of not in self.files

    def changed(self, new: dict[str, str], of: str, gone: Iterable[str] = ()) -> tuple["Record", "Record"]:
        """The records while a set is replaced, and after that.

        Args:
            new: Hashes of the files that come, by name.
            of: Their set.
            gone: Files of the set that go.

        Returns:
            (in which what comes may have its old hash or the new one, in which it has the new one).
        """
        gone = set(gone)
        between, after = dict(self.files), {n: e for n, e in self.files.items() if n not in gone}
        for name, digest in new.items():
            old = self.files[name].hashes if name in self.files else ()
            between[name] = Written(of, tuple(dict.fromkeys((*old, digest))))
            after[name] = Written(of, (digest,))
        unfinished = {of: ""} | self.unfinished
        rest = {name: text for name, text in self.unfinished.items() if text or name != of}
        return Record(between, unfinished), Record(after, rest)


def unfinished_sets(folder: Path) -> dict[str, str]:
    """Sets in a folder that a run began and did not finish; none where no record says so."""
    try:
        return Record.read(folder).unfinished
    except P2vitError:
        return {}


def inside(name: str) -> str:
    """A name that stays within the folder.

    Raises:
        ValueError: it does not.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder")
    return name
