"""Photos in memory as a photo source: paths, PIL images, arrays, tensors, or a loader that yields them."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2vit.data.benchmarks import BENCHMARKS, open_photos
from p2vit.data.memory_forms import FORMS, Photo, each_item, is_listed, plain_labels, read_item
from p2vit.data.preprocess import read_pixels, to_pixels
from p2vit.data.source import UNLABELLED, Labels, PhotoSource, Pixels, batched, spread
from p2vit.errors import DataError, P2vitWarning, some
from p2vit.program.preprocessing import Preprocessing


@dataclass(frozen=True)
class PreparedPixels:
    """Pixels at the model's image size.

    Attributes:
        pixels: uint8 [H, W, 3].
    """

    pixels: Pixels


def to_photo_source(
    photos: Any,
    preprocessing: Preprocessing,
    *,
    labels: Sequence[Any] | None = None,
    strict: bool = True,
    prepared: bool = False,
) -> PhotoSource:
    """Make a photo source from photos of any form.

    An array or a tensor is treated like a photo file: it is resized and cropped by the model's preprocessing.

    Args:
        photos: One of the forms in `FORMS`, the name of a benchmark, or a `PhotoSource`, which is returned unchanged.
        preprocessing: Preprocessing of the model.
        labels: One label per photo: indices of the model's outputs, or class names.
        strict: Whether a photo that cannot be read is an error; otherwise it is skipped.
        prepared: Whether arrays and tensors already have the model's image size. Nothing is resized or cropped then.

    Returns:
        The photos. The photos of an iterable are read once, when they are needed, and stay in memory as uint8 pixels
        of the model's image size.

    Raises:
        DataError: The photos have another form, or the labels do not fit them.
    """
    if isinstance(photos, str | os.PathLike):
        path = Path(photos)
        if str(photos) in BENCHMARKS or path.is_dir():
            if labels is not None:
                raise DataError(
                    f"{photos}: labels= is only for a list of photos; a folder has one subfolder per class"
                )
            return open_photos(str(photos), preprocessing, strict=strict)
        if not path.exists():
            raise DataError(
                f"{photos}: no such photo or folder, and no benchmark of that name ({', '.join(BENCHMARKS)})"
            )
        photos = [path]
    elif isinstance(photos, PhotoSource):
        return photos
    return MemoryPhotos(photos, preprocessing, labels=labels, strict=strict, prepared=prepared)


def is_single_photo(photos: Any) -> bool:
    """Return whether the argument is one photo, not a collection of photos."""
    if isinstance(photos, str | os.PathLike):
        return str(photos) not in BENCHMARKS and not Path(photos).is_dir()
    if isinstance(photos, Image.Image):
        return True
    return hasattr(photos, "shape") and hasattr(photos, "dtype") and len(photos.shape) == 3


class MemoryPhotos:
    """A `PhotoSource` over photos in memory.

    Attributes:
        name: Description with the number of photos; for an iterable, the number is known once it was read to its end.
        classes: Class names in label order; empty without labels, and until an iterable was read to its end.
        numbered: Whether the labels are indices of the model's outputs.
        skipped: (photo, reason) of photos that could not be read.
        strict: Whether a photo that cannot be read is an error.
        listed: Whether all photos were given at once, not yielded by an iterable.
    """

    def __init__(
        self,
        photos: Any,
        preprocessing: Preprocessing,
        *,
        labels: Sequence[Any] | None = None,
        strict: bool = True,
        prepared: bool = False,
    ) -> None:
        """Collect the photos. An iterable is not read yet. See `to_photo_source`."""
        self.preprocessing = preprocessing
        self.strict = strict
        self.prepared = prepared
        self.skipped: list[tuple[str, str]] = []
        self.name = "photos of a loader"
        self.classes: tuple[str, ...] = ()
        self.numbered = False
        self._warned = False
        self._numbers: Labels | None = None
        self._photos: list[Photo | PreparedPixels] = []
        self._labels: list[Any] = []
        self._named = tuple(getattr(getattr(photos, "dataset", photos), "classes", None) or ())
        self._given = None if labels is None else list(plain_labels(labels))
        self._stream: Iterator[tuple[Photo, Any]] | None = None
        self.listed = is_listed(photos)
        if self.listed:
            for photo, label in read_item(photos):
                self._photos.append(photo)
                self._labels.append(label)
            self._set_labels()
        elif isinstance(photos, Iterable) or hasattr(photos, "__getitem__"):
            self._stream = each_item(photos)
        else:
            raise DataError(f"photos must be {FORMS}, not {type(photos).__name__}")

    def __len__(self) -> int:
        self._read_on(None)
        return len(self._photos)

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw a random subset, or take the first photos of an iterable.

        Args:
            count: Photos wanted.
            seed: Random seed of the draw.
            batch_size: Photos per batch.

        Yields:
            uint8 [B, H, W, 3].

        Raises:
            DataError: ``count`` is below 1, no photo can be read, or with ``strict`` a photo cannot be read.
        """
        if count < 1:
            raise DataError(f"calibration needs at least 1 photo, not {count}")
        if self._stream is None:
            numbers = np.random.default_rng(seed).permutation(len(self._photos)).tolist()
        else:
            self._read_on(count)
            numbers = list(range(min(count, len(self._photos))))
        empty = True
        for pixels, _ in batched(numbers, self._read, batch_size, count):
            empty = False
            yield pixels
        if empty:
            reasons = some([reason for _, reason in self.skipped], most=2) or "there are no photos"
            raise DataError(f"calibration needs at least 1 readable photo: {reasons}")

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Iterate over the photos in their order.

        Args:
            limit: Largest number of photos, evenly spaced; None for all.
            batch_size: Photos per batch.

        Yields:
            (uint8 [B, H, W, 3], int64 [B]).
        """
        for pixels, which in batched(self.order(limit).tolist(), self._read, batch_size):
            yield pixels, self.labels_of(which)

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Return the numbers of all photos in order, or of ``limit`` evenly spaced photos: int64 [photos]."""
        return spread(len(self), limit)

    def photo(self, number: int) -> Pixels:
        """Read one photo, uint8 [H, W, 3].

        Raises:
            DataError: The photo cannot be read.
        """
        photo = self._photos[number]
        try:
            return self._pixels(photo)
        except DataError as error:
            if isinstance(photo, Path):
                raise
            raise DataError(f"{self.title(number)}: {error}") from None

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Return the labels of photos, int64 of the same shape; -1 for a photo without label."""
        self._read_on(None)
        assert self._numbers is not None
        return self._numbers[numbers]

    def title(self, number: int) -> str:
        """Return the photo's path, or its position in the collection."""
        photo = self._photos[number]
        return str(photo) if isinstance(photo, Path) else f"photo {number}"

    def _pixels(self, photo: Photo | PreparedPixels) -> Pixels:
        """Return the model's input for a photo."""
        if isinstance(photo, PreparedPixels):
            return photo.pixels
        if isinstance(photo, Path):
            return read_pixels(photo, self.preprocessing)
        if isinstance(photo, Image.Image):
            return to_pixels(photo, self.preprocessing)
        if self.prepared:
            height, width = self.preprocessing.image_size
            if photo.shape != (height, width, 3):
                raise DataError(
                    f"prepared pixels must be [{height}, {width}, 3] for this model, not {list(photo.shape)}; omit "
                    "prepared=True to resize them"
                )
            return np.ascontiguousarray(photo)
        self._warn_of_prepared(photo)
        return to_pixels(Image.fromarray(photo), self.preprocessing)

    def _warn_of_prepared(self, photo: Pixels) -> None:
        """Warn once if pixels that are probably resized and cropped are resized and cropped again."""
        size, scaled = self.preprocessing.image_size, self.preprocessing.scaled_size
        same = self.preprocessing.resize in ("none", "cut") or scaled == size
        if self._warned or same or photo.shape[:2] != size:
            return
        self._warned = True
        warnings.warn(
            f"the arrays or tensors already have the model's input size of {size[0]} × {size[1]} pixels; they are "
            f"scaled to {scaled[0]} × {scaled[1]} and cropped like any photo. If they are preprocessed already, add "
            "prepared=True",
            P2vitWarning,
            stacklevel=2,
        )

    def _read(self, number: int) -> Pixels | None:
        """Read a photo, or record why it cannot be read and return None."""
        try:
            return self.photo(number)
        except DataError as error:
            if self.strict:
                raise
            note = (self.title(number), str(error))
            if note not in self.skipped:
                self.skipped.append(note)
            return None

    def _read_on(self, count: int | None) -> None:
        """Read an iterable until ``count`` photos are in memory, or to its end."""
        while self._stream is not None and (count is None or len(self._photos) < count):
            found = next(self._stream, None)
            if found is None:
                self._stream = None
                self._set_labels()
                return
            photo, label = found
            # A path is read when it is needed. Other photos stay in memory, at the model's image size.
            try:
                self._photos.append(photo if isinstance(photo, Path) else PreparedPixels(self._pixels(photo)))
            except DataError as error:
                raise DataError(f"photo {len(self._photos)}: {error}") from None
            self._labels.append(label)

    def _set_labels(self) -> None:
        """Convert the labels to numbers and class names, once all photos are known."""
        labels = self._labels if self._given is None else self._given
        if len(labels) != len(self._photos):
            raise DataError(f"{len(labels)} labels for {len(self._photos)} photos, but each photo needs one")
        known = [label for label in labels if label is not None]
        self.name = f"{len(labels)} photos in memory"
        if not known:
            self._numbers = np.full(len(labels), UNLABELLED, np.int64)
        elif all(isinstance(label, str) for label in known):
            self.classes = tuple(sorted(set(known)))
            places = {each: place for place, each in enumerate(self.classes)}
            self._numbers = np.array([places.get(label, UNLABELLED) for label in labels], np.int64)
        elif all(isinstance(label, int) and label >= UNLABELLED for label in known):
            most = max(known)
            if self._named and most < len(self._named):
                self.classes = tuple(map(str, self._named))
            else:
                self.classes, self.numbered = tuple(map(str, range(most + 1))), True
            self._numbers = np.array([UNLABELLED if label is None else label for label in labels], np.int64)
            if most == UNLABELLED:
                self.classes, self.numbered = (), False
        else:
            strange = next(label for label in known if not isinstance(label, int | str))
            raise DataError(f"labels must be integers from 0, or class names, not {strange!r}")
