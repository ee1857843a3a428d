"""The record of the files that p2vit wrote into a folder: names, hashes and sets (``.p2vit-files.json``).

The record depends only on the written files, so the same outputs give the same record. p2vit replaces or removes a file
only if the record lists it and its content is unchanged.
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
        set: Name of the set that the file belongs to: ``program``, ``rtl`` and others for a set that has a folder of
            its own; otherwise the name of the set's main file.
        hashes: Allowed SHA-256 values, hexadecimal: one, or two while the file is being replaced.
    """

    set: str
    hashes: tuple[str, ...]


@dataclass
class Record:
    """Record of the files that p2vit wrote into a folder.

    Attributes:
        files: Name relative to the folder, with forward slashes → file.
        unfinished: Name of a set that a run began and did not finish → text that identifies the run's settings. The
            text is empty if the run was stopped while it replaced files.
    """

    files: dict[str, Written] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> "Record":
        """Read the record of a folder, or return an empty one if the folder has none.

        Raises:
            P2vitError: The file is not a record of this release.
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
                f"{path}: is not a record of this release of p2vit; move it away. p2vit then treats all files in "
                f"{folder} as yours and does not replace them"
            ) from None
        return Record(files, unfinished)

    def encode(self) -> bytes:
        """Return the content of the record's file."""
        files = {
            name: {"set": entry.set, "sha256": list(entry.hashes)}
            for name, entry in sorted(self.files.items())
        }
        content = {"format": _FORMAT, "version": _VERSION, "files": files}
        if self.unfinished:
            content["unfinished"] = dict(sorted(self.unfinished.items()))
        return (json.dumps(content, indent=1) + "\n").encode()

    def names(self, of: str) -> list[str]:
        """Return the names of the files of a set."""
        return [name for name, entry in self.files.items() if entry.set == of]

    def fills_a_folder(self, of: str) -> bool:
        """Return whether a set has a folder of its own, and is not a main file with other files beside it."""
        return of not in self.files

    def changed(self, new: dict[str, str], of: str, gone: Iterable[str] = ()) -> tuple["Record", "Record"]:
        """Make the records for the time while a set is replaced and for the time after that.

        Args:
            new: Name → SHA-256 of the new files.
            of: Name of the set.
            gone: Names of the files that are removed.

        Returns:
            (record that allows the old and the new hash of each file, record with the new hashes only).
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
    """Return the unfinished sets of a folder (see `Record`); empty if it has no valid record."""
    try:
        return Record.read(folder).unfinished
    except P2vitError:
        return {}


def inside(name: str) -> str:
    """Check that a relative name does not lead out of its folder, and return it.

    Raises:
        ValueError: The name leads out of the folder, or is empty.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder")
    return name
