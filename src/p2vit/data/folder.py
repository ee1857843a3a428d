"""Photos in a folder: a subfolder per class, or a flat folder without labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from p2vit.data.preprocess import read_pixels
from p2vit.data.source import UNLABELLED, Labels, Pixels, batched, spread
from p2vit.errors import DataError, some
from p2vit.program.preprocessing import Preprocessing

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder:
    """A `PhotoSource` over the photos of a folder, read when they are asked for.

    With subfolders, each one is a class, in sorted order, and photos are looked for at any depth below it.
    Without, the folder's own photos have no labels. Hidden files and folders are passed over.

    Attributes:
        name: The folder's path.
        classes: Subfolder names in sorted order; empty for a flat folder.
        paths: Every photo, sorted within its class.
        labels: int64 [len(paths)], -1 in a flat folder.
        skipped: (path, reason) of photos that could not be read, filled while iterating.
    """

    def __init__(self, path: Path | str, preprocessing: Preprocessing, *, strict: bool = False) -> None:
        """Find the photos; none is opened yet.

        Args:
            path: The folder.
            preprocessing: The model's.
            strict: Refuse the first photo that cannot be read, instead of skipping it.

        Raises:
            DataError: the folder is missing, not a folder, unreadable, or holds no photo.
        """
        self.root = Path(path)
        self.name = str(path)
        self.preprocessing = preprocessing
        self.strict = strict
        self.skipped: list[tuple[str, str]] = []
        self.classes: tuple[str, ...] = ()
        self.paths: list[Path] = []
        labels: list[int] = []
        folders = [entry for entry in _entries(self.root) if entry.is_dir()]
        found = {folder.name: _photos(folder) for folder in folders}
        if any(found.values()):
            self.classes = tuple(found)
            for label, photos in enumerate(found.values()):
                self.paths += photos
                labels += [label] * len(photos)
        else:
            self.paths = [entry for entry in _entries(self.root) if _is_photo(entry)]
            labels = [UNLABELLED] * len(self.paths)
        if not self.paths:
            raise DataError(f"{self.root}: no photos here. Photos end in {', '.join(EXTENSIONS)}")
        self.labels: Labels = np.array(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw a seeded subset; a photo that cannot be read is replaced by the next one drawn.

        Args:
            count: Photos wanted.
            seed: Of the draw.
            batch_size: Photos per batch.

        Yields:
            uint8 [B, H, W, 3].

        Raises:
            DataError: ``count`` is below 1, no photo can be read, or with ``strict`` one cannot.
        """
        if count < 1:
            raise DataError(f"calibration needs at least 1 photo, not {count}")
        order = np.random.default_rng(seed).permutation(len(self.paths))
        yield from (pixels for pixels, _ in self._batches(order.tolist(), batch_size, count))

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Go through the photos in sorted order.

        Args:
            limit: At most so many photos, evenly spaced over the folder.
            batch_size: Photos per batch.

        Yields:
            (uint8 [B, H, W, 3], int64 [B]).

        Raises:
            DataError: no photo can be read, or with ``strict`` one cannot.
        """
        indices = spread(len(self.paths), limit).tolist()
        for pixels, which in self._batches(indices, batch_size):
            yield pixels, self.labels[which]

    def _batches(
        self, indices: list[int], batch_size: int, limit: int | None = None
    ) -> Iterator[tuple[Pixels, Labels]]:
        """Read in order and refuse a folder where nothing at all could be read."""
        empty = True
        for batch in batched(indices, self._read, batch_size, limit):
            empty = False
            yield batch
        if empty and indices:
            raise DataError(
                f"{self.root}: none of the {len(indices)} photos could be read: "
                + some([reason for _, reason in self.skipped], most=2)
            )

    def _read(self, index: int) -> Pixels | None:
        """Return photo ``index``, or None after noting why it cannot be read."""
        path = self.paths[index]
        try:
            return read_pixels(path, self.preprocessing)
        except DataError as error:
            if self.strict:
                raise
            note = (str(path), str(error))
            if note not in self.skipped:  # a second pass over the folder says nothing new
                self.skipped.append(note)
            return None


def _entries(folder: Path) -> list[Path]:
    """Return the visible entries of a folder by name, or say why that cannot be done."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"{folder}: no such folder") from None
    except NotADirectoryError:
        raise DataError(f"{folder}: a file, where a folder of photos is needed") from None
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None


def _photos(folder: Path) -> list[Path]:
    """Return every photo below a folder, sorted."""
    photos: list[Path] = []
    for entry in _entries(folder):
        if _is_photo(entry):
            photos.append(entry)
        elif entry.is_dir() and not entry.is_symlink():  # a link may point at its own parent
            photos += _photos(entry)
    return photos


def _is_photo(path: Path) -> bool:
    """Tell photos by their extension; the content is looked at when it is read."""
    return path.suffix.lower() in EXTENSIONS and path.is_file()
