"""Sets of output files that belong together: check that they may be written, then write all of them or none."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from p2vit.errors import P2vitError, some
from p2vit.files.disk import cannot_write, sha256_of, write_bytes
from p2vit.files.locks import lock_output
from p2vit.files.mutex import alone_in
from p2vit.files.places import beside, is_ours_for_a_while, kind_of, make_folder, output_file, output_folder
from p2vit.files.record import RECORD, Record, Written, inside
from p2vit.files.stage import Content, Stage

#: Lists the files of a set that an older release wrote without a record. All of them may be replaced.
Older = Callable[[Path], Iterable[str]]


@dataclass(frozen=True)
class FileSet:
    """Files that belong together, and their place. Made by `filling`, `within` or `of_file`.

    Attributes:
        shown: Path as the user gave it.
        folder: Folder that gets the files, without links.
        name: Name of the set in the folder's record.
        fills: Whether the set has the folder for itself. A folder with other files, but without this set, is refused.
        overwrite: Whether files that p2vit wrote there may be replaced.
        older: Lists the set's files in a folder whose record does not name them.
        is_file: Whether ``shown`` is the main file, not the folder.
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
        """Make a set that has a folder for itself.

        Raises:
            P2vitError: The path cannot be a folder.
        """
        return FileSet(path, output_folder(path), name, True, overwrite, older)

    @staticmethod
    def within(path: Path, name: str, overwrite: bool, older: Older | None = None) -> "FileSet":
        """Make a set in a folder that may contain other files.

        Raises:
            P2vitError: The path cannot be a folder.
        """
        return FileSet(path, output_folder(path), name, False, overwrite, older)

    @staticmethod
    def of_file(path: Path, overwrite: bool) -> "FileSet":
        """Make a set of one main file, with other files beside it.

        Raises:
            P2vitError: The path cannot be a file.
        """
        place = output_file(path)
        return FileSet(path, place.parent, place.name, False, overwrite, is_file=True)

    def check(self, names: Iterable[str] = (), token: str = "") -> bool:
        """Refuse to write if existing files are in the way.

        Args:
            names: Files that will be written, relative to the folder, as far as they are known.
            token: Settings of this run, see `begin`. An unfinished set with the same settings may be replaced.

        Returns:
            Whether the place has an unfinished set that may be replaced.

        Raises:
            P2vitError: A file or folder is in the way. The message names it and says what to do.
        """
        record = self.record()
        pending = record.unfinished.get(self.name)
        resumed = pending is not None and pending in ("", token)
        own = record.names(self.name)
        if self.fills:
            others = self._entries()
            if others and not own:
                raise P2vitError(
                    f"{self.shown}: contains {some(others, 3)}, but no {self.name} that p2vit wrote, so nothing is "
                    "written there; choose another place"
                )
            if others and not self.overwrite and not resumed:
                raise P2vitError(_exists(self.shown))
        if pending and not resumed and not self.overwrite:
            raise P2vitError(
                f"{self.shown}: contains an unfinished {self.name} with other settings ({pending}); run that command "
                "again, choose another place, or allow overwriting (--overwrite)"
            )
        for name in dict.fromkeys((*(own if self.fills else ()), *names)):
            self.check_file(name, record, resumed)
        return resumed

    def begin(self, token: str) -> None:
        """Record that the set is unfinished until `finish` is called.

        Args:
            token: Short text of one line that identifies the settings of the run. A later run with the same text
                continues the set.
        """
        make_folder(self.folder)
        self._note(lambda unfinished: unfinished | {self.name: token})

    def finish(self) -> None:
        """Record that the set is complete."""
        self._note(lambda unfinished: {k: v for k, v in unfinished.items() if k != self.name})

    def write(self, files: Mapping[str, Content], token: str = "") -> None:
        """Write all files of the set. Unchanged files of an older version that are not in ``files`` are removed.

        Args:
            files: Name relative to the folder, with forward slashes → content.
            token: See `check`.

        Raises:
            P2vitError: A file is in the way, another run writes there, or the disk refuses. Nothing has changed then.
        """
        needed = sum(len(content) for content in files.values() if isinstance(content, str | bytes))
        with self.stage(token, needed) as stage:
            for name, content in files.items():
                stage.write(name, content)

    @contextlib.contextmanager
    def stage(self, token: str = "", needed: int = 0) -> Iterator["Stage"]:
        """Open a temporary place for the files. They appear together when the context ends without an error.

        Args:
            token: See `check`.
            needed: Size of all files in bytes, as far as known.

        Yields:
            The stage, which takes the files.

        Raises:
            P2vitError: A file is in the way, another run writes there, or the disk refuses. Nothing has changed then.
        """
        with lock_output(self.shown):
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

    def record(self) -> Record:
        """Read the folder's record, and add the files that an older release wrote without a record."""
        record = Record.read(self.folder)
        if self.older is not None and not record.names(self.name) and kind_of(self.folder) == "folder":
            for name in self.older(self.folder):
                with contextlib.suppress(ValueError):
                    if inside(name) not in record.files and kind_of(self.folder / name) == "file":
                        record.files[name] = Written(self.name, (sha256_of(self.folder / name),))
        return record

    def _entries(self) -> list[str]:
        """List the entries of the folder without the record, temporary files and locks."""
        if kind_of(self.folder) is None:
            return []
        try:
            names = sorted(entry.name for entry in self.folder.iterdir())
        except OSError as error:
            raise P2vitError(f"{self.shown}: cannot be read: {error.strerror or error}") from None
        return [name for name in names if name != RECORD and not is_ours_for_a_while(name)]

    def check_file(self, name: str, record: Record, resumed: bool) -> None:
        """Refuse to write a file if the existing one may not be replaced.

        Args:
            name: Name of the file, relative to the folder.
            record: Record of the folder.
            resumed: Whether an unfinished set may be replaced without ``overwrite``.

        Raises:
            P2vitError: p2vit did not write the existing file, or it was changed, belongs to another set, or may not
                be overwritten.
        """
        path, shown = self.folder / name, self.shown_file(name)
        for parent in PurePosixPath(name).parents[:-1]:
            if (kind := kind_of(self.folder / parent)) not in (None, "folder"):
                raise P2vitError(
                    f"{self.shown_file(str(parent))}: is a {kind}, but must be a folder; move it away, or choose "
                    "another place"
                )
        kind, entry = kind_of(path), record.files.get(name)
        if kind is None:
            return
        if kind != "file":
            raise P2vitError(
                f"{shown}: is a {kind}, but a file will be written there; move it away, or choose another place"
            )
        if entry and entry.set != self.name and (record.fills_a_folder(entry.set) or self.fills):
            raise P2vitError(
                f"{shown}: belongs to the {entry.set} that p2vit wrote there; choose another place"
            )
        if not self.overwrite and not resumed:
            raise P2vitError(_exists(shown))
        if entry is None:
            raise P2vitError(
                f"{shown}: was not written by p2vit, so it is not overwritten; move it away, or choose another place"
            )
        if sha256_of(path) not in entry.hashes:
            raise P2vitError(
                f"{shown}: was changed after p2vit wrote it, so it is not overwritten; move it away, or choose another "
                "place"
            )

    def shown_file(self, name: str) -> Path:
        """Return the path of a file of the set as the user would write it."""
        return self.shown.with_name(name) if self.is_file else self.shown / name

    def _note(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Change the unfinished sets in the record."""
        with alone_in(self.folder):
            record = self.record()
            record.unfinished = change(record.unfinished)
            fresh = self.folder / beside(self.folder / RECORD, "new").name
            try:
                write_bytes(fresh, [record.encode()])
                fresh.replace(self.folder / RECORD)
            except OSError as error:
                fresh.unlink(missing_ok=True)
                raise cannot_write(self.folder / RECORD, error, len(record.encode())) from None


def _exists(shown: Path) -> str:
    return f"{shown}: exists already; choose another place, or allow overwriting (--overwrite)"
