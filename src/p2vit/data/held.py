"""Photos as people hold them in Python: paths, PIL images, arrays, tensors, or a loader that yields them."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2vit.data.benchmarks import BENCHMARKS, open_photos
from p2vit.data.preprocess import read_pixels, to_pixels
from p2vit.data.source import UNLABELLED, Labels, PhotoSource, Pixels, batched, spread
from p2vit.errors import DataError, P2vitWarning, some
from p2vit.program.preprocessing import Preprocessing

#: Where rows of a data set keep their image and their label.
IMAGE_KEYS = ("image", "images", "pixel_values", "img", "jpg", "png")
LABEL_KEYS = ("label", "labels", "target", "class", "cls")
#: What can be held, for messages.
FORMS = (
    "a path, a folder, a PIL image, a uint8 array [H, W, 3] or [N, H, W, 3], a uint8 tensor [3, H, W] or "
    "[N, 3, H, W], a list of these, or an iterable (a DataLoader) of images or of (image, label)"
)

#: A path, a PIL image or uint8 pixels [H, W, 3].
Photo = Path | Image.Image | Pixels


@dataclass(frozen=True)
class Ready:
    """Pixels that are the model's input already, uint8 [H, W, 3]."""

    pixels: Pixels


def hold(
    photos: Any,
    preprocessing: Preprocessing,
    *,
    labels: Sequence[Any] | None = None,
    strict: bool = True,
    prepared: bool = False,
) -> PhotoSource:
    """Bring photos, however they are held, to what models are calibrated and measured on.

    An array or a tensor is a photo like a file: it is resized and cropped as the model's preprocessing says.

    Args:
        photos: One of the forms in `FORMS`; the name of a benchmark; or a `PhotoSource`, which is returned.
        preprocessing: The model's.
        labels: One per photo: numbers of the model's outputs, or names of classes.
        strict: Refuse a photo that cannot be read, instead of skipping it.
        prepared: Arrays and tensors are the model's input already, of its size: nothing is resized or cropped.

    Returns:
        The photos. Those of an iterable without ``__getitem__`` are read once, when they are needed, and kept as
        uint8 pixels of the model's size.

    Raises:
        DataError: not one of the forms, or labels that do not fit.
    """
    if isinstance(photos, str | os.PathLike):
        path = Path(photos)
        if str(photos) in BENCHMARKS or path.is_dir():
            if labels is not None:
                raise DataError(
                    f"{photos}: labels are for a list of photos; a folder has one subfolder per class"
                )
            return open_photos(str(photos), preprocessing, strict=strict)
        if not path.exists():
            raise DataError(
                f"{photos}: there is no such photo or folder, and no benchmark of that name ({', '.join(BENCHMARKS)})"
            )
        photos = [path]
    elif isinstance(photos, PhotoSource):
        return photos
    return HeldPhotos(photos, preprocessing, labels=labels, strict=strict, prepared=prepared)


def is_single(photos: Any) -> bool:
    """Whether this is one photo, and not a collection of them."""
    if isinstance(photos, str | os.PathLike):
        return str(photos) not in BENCHMARKS and not Path(photos).is_dir()
    if isinstance(photos, Image.Image):
        return True
    return hasattr(photos, "shape") and hasattr(photos, "dtype") and len(photos.shape) == 3


class HeldPhotos:
    """A `PhotoSource` over photos that a program holds.

    Attributes:
        name: How many there are, for messages and reports; of an iterable, once it was read to its end.
        classes: Names in label order; empty without labels, and until an iterable was read to its end.
        numbered: The labels are numbers of the model's outputs.
        skipped: (which, reason) of photos that could not be read.
        strict: A photo that cannot be read is an error.
        listed: All photos were there from the start, and not yielded one after the other.
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
        """Take hold of the photos; an iterable is not read yet. See :func:`hold`."""
        self.preprocessing = preprocessing
        self.strict = strict
        self.prepared = prepared
        self.skipped: list[tuple[str, str]] = []
        self.name = "photos of a loader"
        self.classes: tuple[str, ...] = ()
        self.numbered = False
        self._warned = False
        self._numbers: Labels | None = None
        self._photos: list[Photo | Ready] = []
        self._labels: list[Any] = []
        self._named = tuple(getattr(getattr(photos, "dataset", photos), "classes", None) or ())
        self._given = None if labels is None else list(_plain_labels(labels))
        self._stream: Iterator[tuple[Photo, Any]] | None = None
        self.listed = _is_listed(photos)
        if self.listed:
            for photo, label in _each(photos):
                self._photos.append(photo)
                self._labels.append(label)
            self._settle()
        elif isinstance(photos, Iterable) or hasattr(photos, "__getitem__"):
            self._stream = _each_of(photos)
        else:
            raise DataError(f"photos are {FORMS}; not {type(photos).__name__}")

    def __len__(self) -> int:
        self._read_on(None)
        return len(self._photos)

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw a seeded subset; of an iterable, the first photos that it yields.

        Args:
            count: Photos wanted.
            seed: Random seed of the draw.
            batch_size: Photos per batch.

        Yields:
            uint8 [B, H, W, 3].

        Raises:
            DataError: ``count`` is below 1, or no photo can be read.
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
            reasons = some([reason for _, reason in self.skipped], most=2) or "there are none"
            raise DataError(f"no photo to calibrate on: {reasons}")

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Go through the photos in their own order.

        Args:
            limit: At most so many photos, evenly spaced.
            batch_size: Photos per batch.

        Yields:
            (uint8 [B, H, W, 3], int64 [B]).
        """
        for pixels, which in batched(self.order(limit).tolist(), self._read, batch_size):
            yield pixels, self.labels_of(which)

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Numbers of the photos in their own order, or of ``limit`` evenly spaced ones."""
        return spread(len(self), limit)

    def photo(self, number: int) -> Pixels:
        """One photo, uint8 [H, W, 3].

        Raises:
            DataError: it cannot be read.
        """
        photo = self._photos[number]
        try:
            return self._pixels(photo)
        except DataError as error:
            if isinstance(photo, Path):
                raise
            raise DataError(f"{self.title(number)}: {error}") from None

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Labels of photos; -1 where one has none."""
        self._read_on(None)
        assert self._numbers is not None
        return self._numbers[numbers]

    def title(self, number: int) -> str:
        """The photo's path, or its place."""
        photo = self._photos[number]
        return str(photo) if isinstance(photo, Path) else f"photo {number}"

    def _pixels(self, photo: Photo | Ready) -> Pixels:
        """The model's input for a photo."""
        if isinstance(photo, Ready):
            return photo.pixels
        if isinstance(photo, Path):
            return read_pixels(photo, self.preprocessing)
        if isinstance(photo, Image.Image):
            return to_pixels(photo, self.preprocessing)
        if self.prepared:
            height, width = self.preprocessing.image_size
            if photo.shape != (height, width, 3):
                raise DataError(
                    f"prepared pixels are [{height}, {width}, 3] for this model, not {list(photo.shape)}; leave "
                    "prepared=True out to have them resized"
                )
            return np.ascontiguousarray(photo)
        self._warn_of_prepared(photo)
        return to_pixels(Image.fromarray(photo), self.preprocessing)

    def _warn_of_prepared(self, photo: Pixels) -> None:
        """Warn once if pixels that a loader seems to have resized and cropped are resized and cropped again."""
        size, scaled = self.preprocessing.image_size, self.preprocessing.scaled_size
        if (
            self._warned
            or self.preprocessing.resize in ("none", "cut")
            or scaled == size
            or photo.shape[:2] != size
        ):
            return
        self._warned = True
        warnings.warn(
            f"the arrays or tensors are {size[0]} × {size[1]} pixels already, as the model takes them, and are scaled "
            f"to {scaled[0]} × {scaled[1]} and cropped once more. If they are resized and cropped for the model, add "
            "prepared=True",
            P2vitWarning,
            stacklevel=2,
        )

    def _read(self, number: int) -> Pixels | None:
        """A photo, or None after noting why it cannot be read."""
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
        """Read an iterable until so many photos are held, or to its end."""
        while self._stream is not None and (count is None or len(self._photos) < count):
            found = next(self._stream, None)
            if found is None:
                self._stream = None
                self._settle()
                return
            photo, label = found
            # A path is read when it is needed; what is in memory is kept at the model's size.
            try:
                self._photos.append(photo if isinstance(photo, Path) else Ready(self._pixels(photo)))
            except DataError as error:
                raise DataError(f"photo {len(self._photos)}: {error}") from None
            self._labels.append(label)

    def _settle(self) -> None:
        """Turn labels into numbers and names of classes, when all photos are known."""
        labels = self._labels if self._given is None else self._given
        if len(labels) != len(self._photos):
            raise DataError(f"{len(labels)} labels for {len(self._photos)} photos; one per photo is needed")
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
            raise DataError(f"labels are whole numbers from 0 or names; not {strange!r}")


def _is_listed(photos: Any) -> bool:
    """Whether photos are all there at once, and not yielded one after the other."""
    return isinstance(photos, list | tuple | Image.Image) or _is_array(photos)


def _is_array(value: Any) -> bool:
    """NumPy arrays and torch tensors alike; neither library is imported for it."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _each_of(photos: Any) -> Iterator[tuple[Photo, Any]]:
    """Photos and labels of an iterable of images, of batches, of (images, labels) or of rows."""
    for element in photos:
        yield from _each(element)


def _each(element: Any) -> Iterator[tuple[Photo, Any]]:
    """Photos and labels of one photo, one batch, one pair, one row of a data set, or a list of these.

    Raises:
        DataError: something that is none of these.
    """
    if isinstance(element, Mapping):
        image = next((element[key] for key in IMAGE_KEYS if key in element), None)
        if image is None:
            raise DataError(
                f"a row with {', '.join(map(str, element))} has no image; expected is {IMAGE_KEYS[0]}"
            )
        yield from _pairs(image, next((element[key] for key in LABEL_KEYS if key in element), None))
    elif isinstance(element, list | tuple):
        if len(element) == 2 and _is_label(element[1]) and not _is_label(element[0]):
            yield from _pairs(element[0], element[1])
        else:
            yield from _each_of(element)
    else:
        yield from _pairs(element, None)


def _pairs(images: Any, labels: Any) -> Iterator[tuple[Photo, Any]]:
    """Each image with its own label."""
    photos = list(_photos(images))
    own = [None] * len(photos) if labels is None else list(_plain_labels(labels))
    if len(own) != len(photos):
        raise DataError(f"{len(own)} labels for {len(photos)} photos; one per photo is needed")
    yield from zip(photos, own, strict=True)


def _is_label(value: Any) -> bool:
    """Whether this is a label or a batch of them: whole numbers without further axes."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | np.integer):
        return True
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_label(item) and not _is_array(item) for item in value)
    return _is_array(value) and len(value.shape) < 2 and "int" in str(value.dtype)


def _plain_labels(labels: Any) -> Iterator[Any]:
    """Labels as Python's own numbers and strings; one label counts as a list of one."""
    if _is_array(labels):
        labels = labels.tolist()
    if not isinstance(labels, list | tuple):
        labels = [labels]
    for label in labels:
        yield label.item() if _is_array(label) else label


def _photos(value: Any) -> Iterator[Photo]:
    """Single photos of a path, an image, an array, a tensor, or a list of these.

    Raises:
        DataError: something else, or a folder within a list.
    """
    if isinstance(value, str | os.PathLike):
        path = Path(value)
        if not path.is_file():
            what = "is a folder; give it alone, not in a list" if path.is_dir() else "no such photo"
            raise DataError(f"{path}: {what}")
        yield path
    elif isinstance(value, Image.Image):
        yield value
    elif _is_array(value):
        yield from _from_array(value)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _photos(item)
    else:
        raise DataError(f"photos are {FORMS}; not {type(value).__name__}")


def _from_array(value: Any) -> Iterator[Pixels]:
    """Photos of an array [H, W, 3] or [N, H, W, 3], or of a tensor, which may have its channels first.

    Raises:
        DataError: another shape, or numbers that are not clearly 8-bit pixels.
    """
    tensor = hasattr(value, "detach")
    if tensor:
        if value.is_meta or "strided" not in str(value.layout):
            kind = "meta" if value.is_meta else str(value.layout).removeprefix("torch.")
            raise DataError(f"a {kind} tensor holds no pixels that can be read; give a dense one")
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    if array.ndim not in (3, 4):
        raise DataError(f"an array of photos is [H, W, 3] or [N, H, W, 3], not {list(array.shape)}")
    first, last = array.shape[-3] == 3, array.shape[-1] == 3
    if tensor and first and last:
        raise DataError(f"a tensor {list(array.shape)}: it does not show which axis holds the three colours")
    if tensor and first:
        array = np.moveaxis(array, -3, -1)
    elif not last:
        wanted = (
            "[3, H, W], [N, 3, H, W], [H, W, 3] or [N, H, W, 3]" if tensor else "[H, W, 3] or [N, H, W, 3]"
        )
        raise DataError(
            f"{'a tensor' if tensor else 'an array'} of photos is {wanted}, not {list(array.shape)}"
        )
    array = _as_bytes(array)
    yield from (array if array.ndim == 4 else array[None])


def _as_bytes(array: NDArray[Any]) -> Pixels:
    """8-bit pixels; floats only where no other meaning is possible.

    Raises:
        DataError: another type, or floats that may mean something else.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not array.size:
        raise DataError(f"photos are uint8, 0 to 255, not {array.dtype}")
    low, high = float(array.min()), float(array.max())
    # What ToTensor makes of 8-bit photos, k / 255, and what .float() makes of them.
    for scale, most in ((255.0, 1.0), (1.0, 255.0)):
        scaled = array.astype(np.float64) * scale
        whole = np.rint(scaled)
        if low >= 0 and high <= most and np.abs(scaled - whole).max() < 1e-3:
            if high <= 1 and not np.any((array > 0) & (array < 1)):
                break
            return whole.astype(np.uint8)
    raise DataError(
        f"float pixels from {low:.4g} to {high:.4g} can mean several things. Give uint8, 0 to 255, or floats that are "
        "exactly k / 255 (ToTensor without Normalize and without resizing after it). Mean and std are part of the "
        "program: leave them out"
    )
