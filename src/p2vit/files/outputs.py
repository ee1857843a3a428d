"""Write single output files, each complete or not at all."""

from collections.abc import Mapping
from pathlib import Path

from p2vit.files.file_set import FileSet
from p2vit.files.stage import Content


def check_output(path: Path, overwrite: bool) -> None:
    """Check that a file may be written, before its content is computed.

    Args:
        path: File to be written.
        overwrite: Whether an existing file may be replaced if p2vit wrote it.

    Raises:
        P2vitError: The file exists and may not be replaced, is not a plain file, or cannot be made.
    """
    target = FileSet.of_file(path, overwrite)
    target.check([target.name])


def write_files(files: Mapping[Path, Content], overwrite: bool) -> None:
    """Write a file and other files beside it. Either all are written completely or none.

    Args:
        files: Path → content. The first file is the main one. All are in its folder, which is made if needed.
        overwrite: Whether files that p2vit wrote may be replaced.

    Raises:
        P2vitError: A file is in the way, or the disk refuses.
    """
    target = FileSet.of_file(next(iter(files)), overwrite)
    target.write({path.name: content for path, content in files.items()})


def write_text(path: Path, text: str, overwrite: bool) -> None:
    """Write one text file completely or not at all; see `write_files`."""
    write_files({path: text}, overwrite)
