"""Photos in a folder: with one subfolder per class, with a label file, or without labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2vit.data.find import Search, find_photos
from p2vit.data.labels import LabelTable
from p2vit.data.preprocess import read_pixels
from p2vit.data.source import UNLABELLED, Labels, Pixels, batched, spread
from p2vit.errors import DataError, some
from p2vit.program.preprocessing import Preprocessing


class ImageFolder:
    """A `PhotoSource` over the photos of a folder. Each photo is read when it is needed.

    Each subfolder is a class, with the photos at any depth below it. Photos of a folder without subfolders have no
    labels. With a label file, subfolders are not classes: photos at any depth get their labels from the file.
    `p2vit.data.find` defines which files are photos.

    Attributes:
        name: Path of the folder.
        classes: Class names in label order: sorted subfolders, or those of the label file; empty without labels.
        numbered: Whether the classes are numbers from a label file.
        listed: Whether the label file has labels only, without photo names.
        paths: All photos, sorted within each class; with a label file, sorted by path.
        labels: int64 [len(paths)], -1 for a photo without label.
        notes: Texts that say what was skipped, and where the label file and the folder differ.
        skipped: (path, reason) of photos that could not be read so far.
    """

    def __init__(
        self,
        path: Path | str,
        preprocessing: Preprocessing,
        *,
        strict: bool = False,
        table: LabelTable | None = None,
    ) -> None:
        """Find the photos without opening them.

        Args:
            path: The folder.
            preprocessing: Preprocessing of the model.
            strict: Whether a photo that cannot be read is an error; otherwise it is skipped.
            table: Labels of the photos from a file; None to take the names of the subfolders.

        Raises:
            DataError: The folder is missing, not a folder, cannot be read or contains no photo, or the label file
                does not fit it.
        """
        self.root = Path(path)
        self.name = str(path)
        self.preprocessing = preprocessing
        self.strict = strict
        self.skipped: list[tuple[str, str]] = []
        self.classes: tuple[str, ...] = ()
        self.numbered = self.listed = False
        self.notes: list[str] = []
        self.paths: list[Path] = []
        labels: list[int] = []
        if table is not None:
            self.classes, self.numbered, self.listed = table.classes, table.numbered, bool(table.in_order)
            self.paths, left_out = find_photos(self.root, table.path)
            self.paths.sort(key=lambda photo: photo.relative_to(self.root).as_posix())
            self.labels: Labels = _looked_up(self.root, self.paths, table, self.notes)
            self.notes += left_out
            return
        search = Search()
        folders, own = search.entries(self.root)
        search.enter(self.root)
        above = set(search.seen)
        found: dict[str, list[Path]] = {}
        for folder in folders:
            search.seen = set(above)  # two classes may link to the same folder
            photos = search.below(folder)
            if folder not in search.loops:
                found[folder.name] = photos
        if any(found.values()):
            self.classes = tuple(found)
            for label, photos in enumerate(found.values()):
                self.paths += photos
                labels += [label] * len(photos)
            if own:
                names = some([photo.name for photo in own], most=3)
                self.notes.append(
                    f"{self.root}: skipped {len(own)} of the photos, which are in no subfolder and so have no class: "
                    f"{names}"
                )
        else:
            self.paths = own
            labels = [UNLABELLED] * len(self.paths)
        if not self.paths:
            raise search.nothing(self.root)
        self.notes += [f"{self.root}: {note}" for note in search.notes()]
        self.labels = np.array(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw a random subset. A photo that cannot be read is replaced by the next one.

        Args:
            count: Number of photos.
            seed: Random seed.
            batch_size: Photos per batch.

        Yields:
            uint8 [B, H, W, 3].

        Raises:
            DataError: ``count`` is below 1, no photo can be read, or with ``strict`` a photo cannot be read.
        """
        if count < 1:
            raise DataError(f"calibration needs at least 1 photo, not {count}")
        yield from (pixels for pixels, _ in self._batches(self.drawn(seed).tolist(), batch_size, count))

    def drawn(self, seed: int = 0) -> NDArray[np.int64]:
        """Return the numbers of all photos in the order in which `calibration` draws them: int64 [photos]."""
        return np.random.default_rng(seed).permutation(len(self.paths)).astype(np.int64)

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Iterate over the photos in sorted order.

        Args:
            limit: Largest number of photos, evenly spaced over the folder; None for all.
            batch_size: Photos per batch.

        Yields:
            (pixels uint8 [B, H, W, 3], labels int64 [B]).

        Raises:
            DataError: No photo can be read, or with ``strict`` a photo cannot be read.
        """
        for pixels, which in self._batches(self.order(limit).tolist(), batch_size):
            yield pixels, self.labels[which]

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Return the numbers of all photos in sorted order, or of ``limit`` evenly spaced photos: int64 [photos]."""
        return spread(len(self.paths), limit)

    def photo(self, number: int) -> Pixels:
        """Read one photo, uint8 [H, W, 3].

        Raises:
            DataError: The photo cannot be read. The message names the file and the reason.
        """
        return read_pixels(self.paths[number], self.preprocessing)

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Return the labels of photos, int64 of the same shape; -1 for a photo without label."""
        return self.labels[numbers]

    def title(self, number: int) -> str:
        """Return the photo's path."""
        return str(self.paths[number])

    def _batches(
        self, indices: list[int], batch_size: int, limit: int | None = None
    ) -> Iterator[tuple[Pixels, Labels]]:
        """Read photos in batches, and raise an error if none of them could be read."""
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
        """Read photo ``index``, or record why it cannot be read and return None."""
        try:
            return self.photo(index)
        except DataError as error:
            if self.strict:
                raise
            note = (self.title(index), str(error))
            if note not in self.skipped:  # record a photo once, also when the folder is read again
                self.skipped.append(note)
            return None


def _looked_up(root: Path, paths: list[Path], table: LabelTable, notes: list[str]) -> Labels:
    """Look up the labels of photos by their path below the folder, file name, or file name without suffix.

    Raises:
        DataError: The label file has none of the photos, or its list of labels has another length.
    """
    if table.in_order:
        if len(table.in_order) != len(paths):
            raise DataError(
                f"{table.path}: is a list of {len(table.in_order)} labels without file names, but {root} has "
                f"{len(paths)} photos. Write one line per photo, in the order of the photos' names, or write rows "
                "'file,label'"
            )
        return np.array(table.in_order, dtype=np.int64)
    labels, used = [], set()
    for path in paths:
        keys = (path.relative_to(root).as_posix(), path.name, path.stem)
        key = next((key for key in keys if key in table.of_file), None)
        labels.append(UNLABELLED if key is None else table.of_file[key])
        used.add(key)
    if not used - {None}:
        raise DataError(
            f"{table.path}: none of its {len(table.of_file)} files ({some(list(table.of_file), most=2)}, ...) is in "
            f"{root}, which contains {paths[0].name} and others; write paths below that folder, or plain file names"
        )
    if None in used:
        notes.append(
            f"{labels.count(UNLABELLED)} photos have no label in {table.path} and do not count in top-1"
        )
    if missing := len(set(table.of_file) - used):
        notes.append(f"{missing} labels of {table.path} do not belong to any photo of {root}")
    return np.array(labels, dtype=np.int64)
