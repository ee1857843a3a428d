"""Find the photos in a folder, by one rule for all verbs.

A photo is a file with a suffix in `EXTENSIONS`, in upper or lower case. Its content decides only how it is read. Links
to files and folders are followed. Hidden entries (``.x``) and files of operating systems are skipped silently. All
other files that are skipped are counted and reported.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from p2vit.errors import DataError, some

#: Suffixes of supported photos; HEIC needs the extra ``heif``.
EXTENSIONS = (
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
#: Suffixes of unsupported photo formats → what to do. Such files are found as photos and then refused by name.
FOREIGN = {
    **dict.fromkeys(
        (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"),
        "a camera's raw data, which has no defined look; develop it to PNG or JPEG first",
    ),
    ".exr": "a float photo (OpenEXR), which has no defined range; convert it to 8 or 16 bit first",
    ".hdr": "a float photo (Radiance), which has no defined range; convert it to 8 or 16 bit first",
    ".jxl": "a JPEG XL, which is not supported; convert it to PNG or JPEG first",
    ".psd": "a Photoshop document, which is not supported; export it as PNG or JPEG first",
}
#: Files and folders that operating systems and servers create.
LEFT_BEHIND = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information",
    "lost+found",
}  # fmt: skip


@dataclass
class Search:
    """A search for photos below folders, which remembers what it skipped.

    Attributes:
        others: Suffix → number of files that are not photos.
        lost: Broken links.
        loops: Folders that were reached a second time, through a link.
        seen: (device, inode) of the folders that this search has read.
        known: A file that is not counted as skipped: the label file.
    """

    others: Counter[str] = field(default_factory=Counter)
    lost: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    known: Path | None = None

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """List the subfolders and the photos directly in a folder, each sorted by name.

        Raises:
            DataError: The folder is missing, not a folder, or cannot be read.
        """
        folders, photos = [], []
        try:
            with os.scandir(folder) as found:
                listed = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            raise DataError(f"{folder}: no such folder") from None
        except NotADirectoryError:
            raise DataError(f"{folder}: is a file, but must be a folder of photos") from None
        except OSError as error:
            raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
        for entry in listed:
            path = folder / entry.name
            if entry.name.startswith(".") or entry.name.lower() in LEFT_BEHIND:
                continue
            if _is_folder(entry):
                folders.append(path)
            elif looks_like_a_photo(path):
                photos.append(path)
            elif entry.is_symlink() and not path.exists():
                self.lost.append(path)
            elif self.known is None or path.absolute() != self.known.absolute():
                self.others[path.suffix.lower() or "no suffix"] += 1
        return folders, photos

    def enter(self, folder: Path) -> bool:
        """Mark a folder as read. Return False if this search has read it before, which links can cause.

        Raises:
            DataError: The folder cannot be read.
        """
        try:
            found = os.stat(folder)
        except FileNotFoundError:
            raise DataError(f"{folder}: no such folder") from None
        except OSError as error:
            raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
        key = (found.st_dev, found.st_ino)
        if key in self.seen:
            self.loops.append(folder)
            return False
        self.seen.add(key)
        return True

    def below(self, folder: Path) -> list[Path]:
        """List all photos at any depth, sorted by the names of folders and files together.

        Raises:
            DataError: A folder cannot be read.
        """
        photos, waiting = [], [(folder, True)]
        while waiting:  # not recursive, because folders may nest deeper than Python's call limit
            path, is_folder = waiting.pop()
            if not is_folder:
                photos.append(path)
            elif self.enter(path):
                folders, own = self.entries(path)
                inner = sorted([*((sub, True) for sub in folders), *((photo, False) for photo in own)])
                waiting += reversed(inner)
        return photos

    def notes(self) -> list[str]:
        """Return texts that say what was skipped."""
        notes = []
        if count := self.others.total():
            often = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
            kinds = ", ".join(f"{ending} ({number})" for ending, number in often[:8])
            more = "" if len(self.others) <= 8 else ", ..."
            what = "1 file that is not a photo" if count == 1 else f"{count} files that are not photos"
            notes.append(f"skipped {what}: {kinds}{more}")
        if self.lost:
            notes.append(f"skipped broken links: {some([str(path) for path in self.lost])}")
        if self.loops:
            names = some([str(path) for path in self.loops])
            notes.append(f"skipped links to folders that were read before, or that contain the link: {names}")
        return notes

    def nothing(self, folder: Path) -> DataError:
        """Return the error for a folder without photos."""
        found = "".join(f"; {note}" for note in self.notes())
        return DataError(
            f"{folder}: contains no photos. Photos have the suffixes {', '.join(EXTENSIONS)}{found}"
        )


def looks_like_a_photo(path: Path) -> bool:
    """Return whether a path has the suffix of a photo, of a supported format or not."""
    return path.suffix.lower() in EXTENSIONS or path.suffix.lower() in FOREIGN


def find_photos(folder: Path, known: Path | None = None) -> tuple[list[Path], list[str]]:
    """Find all photos in a folder, at any depth.

    Args:
        folder: Folder to search.
        known: A file that is not counted as skipped.

    Returns:
        (photos in order, texts that say what was skipped).

    Raises:
        DataError: The folder contains no photo, or a folder cannot be read.
    """
    search = Search(known=known)
    photos = search.below(folder)
    if not photos:
        raise search.nothing(folder)
    return photos, [f"{folder}: {note}" for note in search.notes()]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one. A circle of links is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False
