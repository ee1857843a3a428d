"""The stage of a file set: files are written to a temporary folder and then renamed to their place.

A new folder appears by one rename. In an existing folder, files are renamed one by one, and its record meanwhile marks
the set as unfinished. Readers refuse an unfinished set, and the same command, run again, completes it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from p2vit.errors import P2vitError
from p2vit.files.disk import cannot_write, sha256_of, sync_folder, write_bytes
from p2vit.files.mutex import alone_in
from p2vit.files.places import beside, kind_of, make_folder
from p2vit.files.record import RECORD, Record

if TYPE_CHECKING:
    from p2vit.files.file_set import FileSet

#: Content of a file; text is written as UTF-8.
Content = str | bytes | Iterable[bytes]


class Stage:
    """A temporary folder for the files of a set. `FileSet.stage` makes it.

    Args:
        target: The set, whose output is locked.
        needed: Size of all files in bytes, as far as known.

    Attributes:
        root: The temporary folder. Other tools may write files into it too.
        bytes: Bytes written so far.
    """

    def __init__(self, target: "FileSet", needed: int) -> None:
        self._target, self._needed = target, needed
        self._hashes: dict[str, str] = {}
        self.bytes = 0
        exists = kind_of(target.folder) is not None
        if exists:
            self.root = beside(target.folder / target.name, "new")
        else:
            self.root = beside(target.folder, "new")
        self._fresh = not exists
        self._made = make_folder(self.root.parent)
        self._clear()
        try:
            self.root.mkdir()
            # The record marks the folder as made by p2vit, so that a later run may remove it.
            write_bytes(self.root / RECORD, [Record().encode()])
        except OSError as error:
            self.discard()
            raise cannot_write(target.shown, error, needed) from None

    def write(self, name: str, content: Content) -> None:
        """Write a file into the temporary folder.

        Args:
            name: Name relative to the folder, with forward slashes.
            content: Content of the file; text is written as UTF-8.

        Raises:
            P2vitError: The file cannot be written.
        """
        if isinstance(content, str):
            content = content.encode("utf-8", "backslashreplace")
        path = self.root / name
        size = len(content) if isinstance(content, bytes) else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._hashes[name], size = write_bytes(path, [content] if isinstance(content, bytes) else content)
        except OSError as error:
            needed = max(self._needed, self.bytes + size)
            raise cannot_write(self._target.shown_file(name), error, needed) from None
        self.bytes += size

    def commit(self, token: str = "") -> None:
        """Move all files to their place.

        Args:
            token: See `FileSet.check`.

        Raises:
            P2vitError: A file is in the way. Nothing has changed then.
            OSError: The disk refuses.
        """
        target, folder = self._target, self._target.folder
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if name != RECORD and name not in self._hashes and kind_of(path) == "file":
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                self._hashes[name] = sha256_of(path)
        for place in {path.parent for path in (self.root / name for name in self._hashes)}:
            sync_folder(place)
        if self._fresh and kind_of(folder) is None:
            write_bytes(
                self.root / f"{RECORD}.full", [Record().changed(self._hashes, target.name)[1].encode()]
            )
            (self.root / f"{RECORD}.full").replace(self.root / RECORD)
            self.root.rename(folder)
            sync_folder(folder.parent)
            return
        with alone_in(folder):
            record = target.record()
            resumed = record.unfinished.get(target.name) in ("", token)
            for name in self._hashes:
                target.check_file(name, record, resumed)
            # Remove files that the new set does not have, except those that the user changed.
            gone = [
                name
                for name in record.names(target.name)
                if name not in self._hashes
                and kind_of(folder / name) in (None, "file")
                and (kind_of(folder / name) is None or sha256_of(folder / name) in record.files[name].hashes)
            ]
            between, after = record.changed(self._hashes, target.name, gone)
            self._move(between, after, gone)

    def _move(self, between: Record, after: Record, gone: list[str]) -> None:
        """Rename all files into an existing folder. Steps that need free disk space come first."""
        folder = self._target.folder
        write_bytes(self.root / f"{RECORD}.between", [between.encode()])
        write_bytes(self.root / f"{RECORD}.after", [after.encode()])
        if kind_of(folder / RECORD):
            write_bytes(self.root / f"{RECORD}.before", [(folder / RECORD).read_bytes()])
        (self.root / f"{RECORD}.between").replace(folder / RECORD)
        made: list[Path] = []
        try:
            for name in self._hashes:
                made += make_folder((folder / name).parent)
        except P2vitError:
            for place in reversed(made):
                place.rmdir()
            if kind_of(self.root / f"{RECORD}.before"):
                (self.root / f"{RECORD}.before").replace(folder / RECORD)
            else:
                (folder / RECORD).unlink()
            raise
        for name in self._hashes:
            (self.root / name).replace(folder / name)
        for name in gone:
            (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                for parent in PurePosixPath(name).parents[:-1]:
                    (folder / parent).rmdir()
        for place in {(folder / name).parent for name in self._hashes}:
            sync_folder(place)
        (self.root / f"{RECORD}.after").replace(folder / RECORD)
        sync_folder(folder)

    def discard(self) -> None:
        """Remove the temporary folder and all folders that are still empty."""
        if (self.root / RECORD).is_file() or not any(self._children()):
            shutil.rmtree(self.root, ignore_errors=True)
        with contextlib.suppress(OSError):
            for place in reversed(self._made):
                place.rmdir()

    def _clear(self) -> None:
        """Remove the temporary folder of a killed run.

        Raises:
            P2vitError: The folder was not made by p2vit.
        """
        kind = kind_of(self.root)
        if kind is None:
            return
        if kind == "folder" and ((self.root / RECORD).is_file() or not any(self._children())):
            shutil.rmtree(self.root, ignore_errors=True)
        if kind_of(self.root) is not None:
            raise P2vitError(
                f"{self.root}: p2vit needs this name for temporary files, but did not write this file; move it away"
            )

    def _children(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from self.root.iterdir()
