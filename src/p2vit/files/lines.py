"""Files that grow line by line: logs and journals that a killed run goes on with, and tables of results."""

import os
from collections.abc import Iterable
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.files.disk import cannot_write
from p2vit.files.mutex import alone_in
from p2vit.files.places import kind_of, make_folder, output_file


class LineFile:
    """A text file of whole lines. Only its end ever changes: what stands in it stays.

    Args:
        path: The file; it need not exist.

    Raises:
        P2vitError: it is no plain file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = output_file(path, links=True)

    def exists(self) -> bool:
        """Whether it is there, be it empty."""
        return kind_of(self._place) is not None

    def read(self, what: str) -> tuple[list[str], str]:
        """Its content.

        Args:
            what: What the file should be, for the message: ``the log of a search``.

        Returns:
            (whole lines, each with its newline; the rest, which a kill or a full disk cut short).

        Raises:
            P2vitError: it is not readable text.
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
        """Keep the first lines only.

        Args:
            lines: What stands at its beginning and stays.

        Raises:
            P2vitError: the disk refuses.
        """
        size = sum(len(line.encode()) for line in lines)
        try:
            if self.exists() and self._place.stat().st_size != size:
                os.truncate(self._place, size)
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def append(self, text: str) -> None:
        """Write at the end, on the disk before it counts. All of it or nothing.

        Args:
            text: Whole lines.

        Raises:
            P2vitError: the disk refuses.
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
        """Add a row to a table that other runs may add to at the same time.

        Args:
            header: First line, for a file that is empty or not there.
            row: One line.

        Raises:
            P2vitError: the disk refuses.
        """
        make_folder(self._place.parent)
        with alone_in(self._place.parent):
            size = self._place.stat().st_size if self.exists() else 0
            text = "" if size else header
            if size:
                with self._place.open("rb") as file:
                    file.seek(-1, os.SEEK_END)
                    # The last line was cut off; its row stays.
                    text = "" if file.read(1) == b"\n" else "\n"
            self.append(text + row)
