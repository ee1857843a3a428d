"""Append to text files: logs and journals that a killed run resumes from, and tables of results."""

import os
from collections.abc import Iterable
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.files.disk import cannot_write
from p2vit.files.mutex import alone_in
from p2vit.files.places import kind_of, make_folder, output_file


class LineFile:
    """A text file of complete lines that only changes at its end.

    Args:
        path: Path of the file, which need not exist.

    Raises:
        P2vitError: The path exists and is not a plain file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = output_file(path, links=True)

    def exists(self) -> bool:
        """Return whether the file exists. It may be empty."""
        return kind_of(self._place) is not None

    def read(self, what: str) -> tuple[list[str], str]:
        """Read the file.

        Args:
            what: Description of the file for the message, e.g. ``the log of a search``.

        Returns:
            (complete lines, each with its newline; incomplete last line, left by a killed run or a full disk).

        Raises:
            P2vitError: The file cannot be read or is not UTF-8.
        """
        if not self.exists():
            return [], ""
        try:
            text = self._place.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise P2vitError(f"{self.path}: cannot be read as {what}: {error}") from None
        lines = [line + "\n" for line in text.split("\n")]
        rest = lines.pop()[:-1]
        return lines, rest

    def cut(self, lines: Iterable[str] = ()) -> None:
        """Cut the file off after its first lines.

        Args:
            lines: The first lines of the file, which stay.

        Raises:
            P2vitError: The file cannot be changed.
        """
        size = sum(len(line.encode()) for line in lines)
        try:
            if self.exists() and self._place.stat().st_size != size:
                os.truncate(self._place, size)
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def append(self, text: str) -> None:
        """Append lines and flush them to the disk. Either all of them are written or none.

        Args:
            text: Complete lines.

        Raises:
            P2vitError: The file cannot be written.
        """
        data = text.encode("utf-8", "backslashreplace")
        make_folder(self._place.parent)
        fresh = not self.exists()
        try:
            with self._place.open("ab", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[file.write(rest) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)
                    if fresh:
                        self._place.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise cannot_write(self.path, error, len(data)) from None

    def append_row(self, header: str, row: str) -> None:
        """Append a row to a table. Other runs may append to the same table at the same time.

        Args:
            header: First line of the table, written if the file is empty or missing.
            row: One line.

        Raises:
            P2vitError: The file cannot be written.
        """
        make_folder(self._place.parent)
        with alone_in(self._place.parent):
            size = self._place.stat().st_size if self.exists() else 0
            text = "" if size else header
            if size:
                with self._place.open("rb") as file:
                    file.seek(-1, os.SEEK_END)
                    # Keep an incomplete last line as a row of its own.
                    text = "" if file.read(1) == b"\n" else "\n"
            self.append(text + row)
