"""Sets of files that appear together: checked, staged beside their place, and renamed into it.

A folder that is not there yet appears by one rename. Into a folder that is there, files are renamed one by one, while
its record says that the set is unfinished: readers refuse it, and the same command, run again, finishes it.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from p2vit.errors import P2vitError, some
from p2vit.files.disk import cannot_write, sha256_of, sync_folder, write_bytes
from p2vit.files.locks import hold
from p2vit.files.mutex import alone_in
from p2vit.files.places import beside, is_ours_for_a_while, kind_of, make_folder, output_file, output_folder
from p2vit.files.record import RECORD, Record, Written, inside

#: What a caller has to write: text is UTF-8.
Content = str | bytes | Iterable[bytes]
#: Finds files that were written before there were records: names, of which all may be replaced.
Older = Callable[[Path], Iterable[str]]


@dataclass(frozen=True)
class FileSet:
    """Files that belong together, and where they go. Made by :meth:`filling`, :meth:`within` or :meth:`of_file`.

    Attributes:
        shown: The place as the user gave it.
        folder: The folder that gets the files, free of links.
        name: Of the set, in the folder's record.
        fills: The folder is the set's own: what else is in it keeps it from being written, unless the set is there too.
        overwrite: What p2vit wrote there may be replaced.
        older: Finds the set's files in a folder whose record does not name them.
        is_file: The place is the main file, not the folder.
    """

    shown: Path
    folder: Path
    name: str
    fills: bool
    overwrite: bool
    older: Older | None = None
    is_file: bool = False

    @staticmethod
    def filling(path: Path, name: str, overwrite: bool, older: Older | None = None) -> "FileSet":
        """A set that has a folder of its own.

        Raises:
            P2vitError: no folder can be there.
        """
        return FileSet(path, output_folder(path), name, True, overwrite, older)

    @staticmethod
    def within(path: Path, name: str, overwrite: bool, older: Older | None = None) -> "FileSet":
        """A set in a folder that may hold other things.

        Raises:
            P2vitError: no folder can be there.
        """
        return FileSet(path, output_folder(path), name, False, overwrite, older)

    @staticmethod
    def of_file(path: Path, overwrite: bool) -> "FileSet":
        """One file, with what goes beside it.

        Raises:
            P2vitError: no file can be there.
        """
        place = output_file(path)
        return FileSet(path, place.parent, place.name, False, overwrite, is_file=True)

    def check(self, names: Iterable[str] = (), token: str = "") -> bool:
        """Refuse what is in the way.

        Args:
            names: Files that will be written, relative to the folder, as far as they are known.
            token: How an unfinished set must have been asked for, to be finished without overwriting; see
                :meth:`begin`.

        Returns:
            An unfinished set is there, which may be replaced.

        Raises:
            P2vitError: naming the file and what to do.
        """
        record = self._record()
        pending = record.unfinished.get(self.name)
        resumed = pending is not None and pending in ("", token)
        own = record.names(self.name)
        if self.fills:
            others = self._entries()
            if others and not own:
                raise P2vitError(
                    f"{self.shown}: holds {some(others, 3)} and no {self.name} that p2vit wrote, so nothing is written "
                    "there; choose another place"
                )
            if others and not self.overwrite and not resumed:
                raise P2vitError(_exists(self.shown))
        if pending and not resumed and not self.overwrite:
            raise P2vitError(
                f"{self.shown}: an unfinished {self.name} with other settings lies there ({pending}); run that command "
                "again, choose another place, or allow overwriting (--overwrite)"
            )
        for name in dict.fromkeys((*(own if self.fills else ()), *names)):
            self._check_one(name, record, resumed)
        return resumed

    def begin(self, token: str) -> None:
        """Note that the set is being made, step by step, until :meth:`finish`.

        Args:
            token: What it depends on, short and without line breaks; a run with the same one goes on with it.
        """
        make_folder(self.folder)
        self._note(lambda unfinished: unfinished | {self.name: token})

    def finish(self) -> None:
        """Note that the set is complete."""
        self._note(lambda unfinished: {k: v for k, v in unfinished.items() if k != self.name})

    def write(self, files: Mapping[str, Content], token: str = "") -> None:
        """Write the set. In a folder of its own, files of an older set that are not in this one go.

        Args:
            files: Content by name, relative to the folder, with forward slashes.
            token: As in :meth:`check`.

        Raises:
            P2vitError: something is in the way, another run writes there, or the disk refuses. Then nothing has
                changed.
        """
        needed = sum(len(content) for content in files.values() if isinstance(content, str | bytes))
        with self.stage(token, needed) as stage:
            for name, content in files.items():
                stage.write(name, content)

    @contextlib.contextmanager
    def stage(self, token: str = "", needed: int = 0) -> Iterator["Stage"]:
        """A place for the files until all are there; they appear when the context is left without an error.

        Args:
            token: As in :meth:`check`.
            needed: Bytes of all files, as far as they are known.
        """
        with hold(self.shown):
            self.check(token=token)
            stage = Stage(self, needed)
            try:
                yield stage
                try:
                    stage.commit(token)
                except OSError as error:
                    raise cannot_write(self.shown, error, max(needed, stage.bytes)) from None
            finally:
                stage.discard()

    def _record(self) -> Record:
        """The folder's record; what older releases wrote counts as written by this one."""
        record = Record.read(self.folder)
        if self.older is not None and not record.names(self.name) and kind_of(self.folder) == "folder":
            for name in self.older(self.folder):
                with contextlib.suppress(ValueError):
                    if inside(name) not in record.files and kind_of(self.folder / name) == "file":
                        record.files[name] = Written(self.name, (sha256_of(self.folder / name),))
        return record

    def _entries(self) -> list[str]:
        """What is in the folder, less what is there only for a while."""
        if kind_of(self.folder) is None:
            return []
        try:
            names = sorted(entry.name for entry in self.folder.iterdir())
        except OSError as error:
            raise P2vitError(f"{self.shown}: cannot be read: {error.strerror or error}") from None
        return [name for name in names if name != RECORD and not is_ours_for_a_while(name)]

    def _check_one(self, name: str, record: Record, resumed: bool) -> None:
        """Refuse a file that is in the way of one of ours.

        Raises:
            P2vitError: it is not ours, was changed, belongs to another set, or may not be replaced.
        """
        path, shown = self.folder / name, self._shown(name)
        for parent in PurePosixPath(name).parents[:-1]:
            if (kind := kind_of(self.folder / parent)) not in (None, "folder"):
                raise P2vitError(
                    f"{self._shown(str(parent))}: is a {kind}, where a folder is needed; move it away, or choose "
                    "another place"
                )
        kind, entry = kind_of(path), record.files.get(name)
        if kind is None:
            return
        if kind != "file":
            raise P2vitError(
                f"{shown}: is a {kind}, where a file is to be written; move it away, or choose another place"
            )
        if entry and entry.set != self.name and (record.fills_a_folder(entry.set) or self.fills):
            raise P2vitError(
                f"{shown}: belongs to the {entry.set} that p2vit wrote there; choose another place"
            )
        if not self.overwrite and not resumed:
            raise P2vitError(_exists(shown))
        if entry is None:
            raise P2vitError(
                f"{shown}: is not known as written by p2vit, so it is not overwritten; move it away, or choose another "
                "place"
            )
        if sha256_of(path) not in entry.hashes:
            raise P2vitError(
                f"{shown}: was changed after p2vit wrote it, so it is not overwritten; move it away, or choose another "
                "place"
            )

    def _shown(self, name: str) -> Path:
        """A file of the set as the user would call it."""
        return self.shown.with_name(name) if self.is_file else self.shown / name

    def _note(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Change what the record says is unfinished."""
        with alone_in(self.folder):
            record = self._record()
            record.unfinished = change(record.unfinished)
            fresh = self.folder / beside(self.folder / RECORD, "new").name
            try:
                write_bytes(fresh, [record.encode()])
                fresh.replace(self.folder / RECORD)
            except OSError as error:
                fresh.unlink(missing_ok=True)
                raise cannot_write(self.folder / RECORD, error, len(record.encode())) from None


class Stage:
    """Files on their way into a folder.

    Attributes:
        root: Where they lie until then. Tools may write below it themselves.
        bytes: Written so far.
    """

    def __init__(self, target: FileSet, needed: int) -> None:
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
            # What has a record in it was begun by p2vit and may be taken away.
            write_bytes(self.root / RECORD, [Record().encode()])
        except OSError as error:
            self.discard()
            raise cannot_write(target.shown, error, needed) from None

    def write(self, name: str, content: Content) -> None:
        """Write a file.

        Args:
            name: Relative to the folder, with forward slashes.
            content: Its bytes; text is UTF-8.

        Raises:
            P2vitError: the disk refuses.
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
            raise cannot_write(self._target._shown(name), error, needed) from None
        self.bytes += size

    def commit(self, token: str = "") -> None:
        """Bring all files to their place.

        Raises:
            P2vitError: something has come in the way; nothing has changed then.
            OSError: the disk refuses.
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
            record = target._record()
            resumed = record.unfinished.get(target.name) in ("", token)
            for name in self._hashes:
                target._check_one(name, record, resumed)
            # What this set does not have any more; what was changed since is the user's now.
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
        """Rename everything into a folder that is there. All that needs room on the disk comes first."""
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
        """Leave nothing of what was not brought to its place."""
        if (self.root / RECORD).is_file() or not any(self._children()):
            shutil.rmtree(self.root, ignore_errors=True)
        with contextlib.suppress(OSError):
            for place in reversed(self._made):
                place.rmdir()

    def _clear(self) -> None:
        """Take away what a run that was killed left behind.

        Raises:
            P2vitError: what is there was not begun by p2vit.
        """
        kind = kind_of(self.root)
        if kind is None:
            return
        if kind == "folder" and ((self.root / RECORD).is_file() or not any(self._children())):
            shutil.rmtree(self.root, ignore_errors=True)
        if kind_of(self.root) is not None:
            raise P2vitError(
                f"{self.root}: is in the way of files that p2vit is about to write; move it away"
            )

    def _children(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from self.root.iterdir()


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse a file that may not be written, before time is spent on its content.

    Args:
        path: A file to be written.
        overwrite: It may be replaced if p2vit wrote it.

    Raises:
        P2vitError: it exists and may not be replaced, is no plain file, or cannot be there.
    """
    target = FileSet.of_file(path, overwrite)
    target.check([target.name])


def write_files(files: Mapping[Path, Content], overwrite: bool) -> None:
    """Write a file, and what goes beside it: all or none, whole or not at all.

    Args:
        files: Content by path; the first is the main one, and all are in its folder, which is made.
        overwrite: Files that p2vit wrote may be replaced.

    Raises:
        P2vitError: a file is in the way, or the disk refuses.
    """
    target = FileSet.of_file(next(iter(files)), overwrite)
    target.write({path.name: content for path, content in files.items()})


def write_text(path: Path, text: str, overwrite: bool) -> None:
    """Write one file whole or not at all; see :func:`write_files`."""
    write_files({path: text}, overwrite)


def _exists(shown: Path) -> str:
    return f"{shown}: exists already; choose another place, or allow overwriting (--overwrite)"
