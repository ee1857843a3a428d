"""Which files of a folder are photos: one rule for every verb that takes a folder.

A photo is a file whose ending is a photo's, in any case; its content decides only how it is read. Links are followed,
to files and to folders. Hidden entries (``.x``) and what operating systems leave behind are passed over without a
word; everything else that is left out is counted and said.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from p2vit.errors import DataError, some

#: Endings of the photos that are read; those of HEIC need the extra ``heif``.
EXTENSIONS = (
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
#: Endings of photos that are not read; they are listed and not counted among other files.
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
#: What operating systems and servers put into folders.
LEFT_BEHIND = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information",
    "lost+found",
}  # fmt: skip


@dataclass
class Search:
    """Looks for photos below folders, and remembers what it left out.

    Attributes:
        others: Ending → how many files that are no photos have it.
        lost: Links that lead nowhere.
        loops: Folders that were reached a second time: links to a folder above, or to one that was read already.
        seen: Identities of the folders that the present search has been in.
        known: A file that need not be counted: the labels.
    """

    others: Counter[str] = field(default_factory=Counter)
    lost: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    known: Path | None = None

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Subfolders and photos of a folder itself, each by name.

        Raises:
            DataError: it is missing, no folder, or cannot be read.
        """
        folders, photos = [], []
        try:
            with os.scandir(folder) as found:
                listed = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            raise DataError(f"{folder}: no such folder") from None
        except NotADirectoryError:
            raise DataError(f"{folder}: a file, where a folder of photos is needed") from None
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
                self.others[path.suffix.lower() or "no ending"] += 1
        return folders, photos

    def enter(self, folder: Path) -> bool:
        """Note that a folder is read now; False where that has been done in this search, as links can make it.

        Raises:
            DataError: it cannot be read.
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
        """Every photo at any depth, in the order of the names of folders and files together.

        Raises:
            DataError: a folder cannot be read.
        """
        photos, waiting = [], [(folder, True)]
        while waiting:  # a stack of our own: folders nest deeper than Python calls
            path, is_folder = waiting.pop()
            if not is_folder:
                photos.append(path)
            elif self.enter(path):
                folders, own = self.entries(path)
                inner = sorted([*((sub, True) for sub in folders), *((photo, False) for photo in own)])
                waiting += reversed(inner)
        return photos

    def notes(self) -> list[str]:
        """What was left out, in sentences."""
        notes = []
        if count := self.others.total():
            often = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
            kinds = ", ".join(f"{ending} ({number})" for ending, number in often[:8])
            more = "" if len(self.others) <= 8 else ", ..."
            what = "1 file that is no photo" if count == 1 else f"{count} files that are no photos"
            notes.append(f"{what}: {kinds}{more}")
        if self.lost:
            notes.append(f"links that lead nowhere: {some([str(path) for path in self.lost])}")
        if self.loops:
            names = some([str(path) for path in self.loops])
            notes.append(f"links to folders that were read already, or that they are in: {names}")
        return notes

    def nothing(self, folder: Path) -> DataError:
        """What to say of a folder without photos."""
        found = "".join(f"; {note}" for note in self.notes())
        return DataError(f"{folder}: no photos here. Photos end in {', '.join(EXTENSIONS)}{found}")


def looks_like_a_photo(path: Path) -> bool:
    """Whether a name ends as a photo's does, read or not."""
    return path.suffix.lower() in EXTENSIONS or path.suffix.lower() in FOREIGN


def find_photos(folder: Path, known: Path | None = None) -> tuple[list[Path], list[str]]:
    """Every photo of a folder, at any depth.

    Args:
        folder: Where to look.
        known: A file that need not be counted among those left out.

    Returns:
        (the photos in order, what was left out).

    Raises:
        DataError: there is none, or a folder cannot be read.
    """
    search = Search(known=known)
    photos = search.below(folder)
    if not photos:
        raise search.nothing(folder)
    return photos, [f"{folder}: {note}" for note in search.notes()]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or leads to one; a circle of links is neither."""
    try:
        return entry.is_dir()
    except OSError:
        return False
