"""Files that are written: checks before time is spent on their content, and writing whole or not at all."""

from pathlib import Path

from p2vit.errors import P2vitError


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse a file that exists, before time is spent on its content.

    Args:
        path: A file to be written.
        overwrite: It may be replaced.

    Raises:
        P2vitError: it exists and may not be replaced, is a folder, or its folder cannot be made.
    """
    if path.is_dir():
        raise P2vitError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise P2vitError(f"{path}: exists already; choose another name, or allow overwriting (--overwrite)")
    make_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises:
        P2vitError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise P2vitError(f"{folder}: cannot be made a folder: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        P2vitError: the disk refuses.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise P2vitError(f"{path}: cannot be written: {error.strerror or error}") from None
