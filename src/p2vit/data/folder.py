"""Photos in a folder: a subfolder per class, labels from a file beside it, or no labels."""

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
    """A `PhotoSource` over the photos of a folder, read when they are asked for.

    With subfolders, each one is a class, in sorted order, and photos are looked for at any depth below it.
    Without, the folder's own photos have no labels. Where a label file is given it decides: subfolders are no
    classes then, and photos at any depth are looked up in it. What counts as a photo says `p2vit.data.find`.

    Attributes:
        name: The folder's path.
        classes: Names in label order: subfolders sorted, or the label file's; empty for a flat folder.
        numbered: The classes are numbers, from a label file.
        listed: The label file names no photos.
        paths: Every photo, sorted within its class, or by path where a label file is given.
        labels: int64 [len(paths)], -1 where a photo has none.
        notes: What was left out of the folder, and what the label file and the folder do not have in common.
        skipped: (path, reason) of photos that could not be read, filled while iterating.
    """

    def __init__(
        self,
        path: Path | str,
        preprocessing: Preprocessing,
        *,
        strict: bool = False,
        table: LabelTable | None = None,
    ) -> None:
        """Find the photos; none is opened yet.

        Args:
            path: The folder.
            preprocessing: The model's.
            strict: Refuse the first photo that cannot be read, instead of skipping it.
            table: Labels of the photos, instead of the subfolders' names.

        Raises:
            DataError: the folder is missing, not a folder, unreadable, or holds no photo; the label file does not
                fit it.
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
            search.seen = set(above)  # two classes may link to one folder
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
                    f"{self.root}: {len(own)} of the photos are in no subfolder, so they have no class and are left "
                    f"out: {names}"
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
        yield from (pixels for pixels, _ in self._batches(self.drawn(seed).tolist(), batch_size, count))

    def drawn(self, seed: int = 0) -> NDArray[np.int64]:
        """Numbers of all photos in the order in which `calibration` draws them."""
        return np.random.default_rng(seed).permutation(len(self.paths)).astype(np.int64)

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
        for pixels, which in self._batches(self.order(limit).tolist(), batch_size):
            yield pixels, self.labels[which]

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Numbers of the photos in sorted order, or of ``limit`` evenly spaced ones."""
        return spread(len(self.paths), limit)

    def photo(self, number: int) -> Pixels:
        """Read one photo, uint8 [H, W, 3].

        Raises:
            DataError: naming the file and why it cannot be read.
        """
        return read_pixels(self.paths[number], self.preprocessing)

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Labels of photos."""
        return self.labels[numbers]

    def title(self, number: int) -> str:
        """The photo's path."""
        return str(self.paths[number])

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
        try:
            return self.photo(index)
        except DataError as error:
            if self.strict:
                raise
            note = (self.title(index), str(error))
            if note not in self.skipped:  # a second pass over the folder says nothing new
                self.skipped.append(note)
            return None


def _looked_up(root: Path, paths: list[Path], table: LabelTable, notes: list[str]) -> Labels:
    """Labels of photos from a file, by path below the folder, file name, or file name without its ending.

    Raises:
        DataError: there is no photo, none is in the file, or a list without file names has another length.
    """
    if table.in_order:
        if len(table.in_order) != len(paths):
            raise DataError(
                f"{table.path}: names no files and has {len(table.in_order)} labels, but {root} has {len(paths)} "
                "photos. Such a list must have one line per photo, in the order of the photos' names; "
                "or write rows 'file,label'"
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
            f"{root}, which has {paths[0].name} and so on; write paths below that folder, or plain file names"
        )
    if None in used:
        notes.append(
            f"{labels.count(UNLABELLED)} photos have no label in {table.path} and are not counted in top-1"
        )
    if missing := len(set(table.of_file) - used):
        notes.append(f"{missing} labels of {table.path} belong to no photo of {root}")
    return np.array(labels, dtype=np.int64)
