"""The forms of photos in memory: read paths, images, arrays, tensors and rows of data sets as (photo, label)."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2vit.data.source import Pixels
from p2vit.errors import DataError

#: Keys of images and labels in rows of data sets.
IMAGE_KEYS = ("image", "images", "pixel_values", "img", "jpg", "png")
LABEL_KEYS = ("label", "labels", "target", "class", "cls")
#: The allowed forms, for messages.
FORMS = (
    "a path, a folder, a PIL image, a uint8 array [H, W, 3] or [N, H, W, 3], a uint8 tensor [3, H, W] or "
    "[N, 3, H, W], a list of these, or an iterable (a DataLoader) of images or of (image, label)"
)

#: A path, a PIL image or uint8 pixels [H, W, 3].
Photo = Path | Image.Image | Pixels


def is_listed(photos: Any) -> bool:
    """Return whether all photos are given at once, not yielded by an iterable."""
    return isinstance(photos, list | tuple | Image.Image) or _is_array(photos)


def _is_array(value: Any) -> bool:
    """Return whether a value is a NumPy array or a torch tensor, without importing torch."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def each_item(items: Any) -> Iterator[tuple[Photo, Any]]:
    """Read all items of an iterable, see `read_item`."""
    for item in items:
        yield from read_item(item)


def read_item(item: Any) -> Iterator[tuple[Photo, Any]]:
    """Read the photos and labels of one item.

    Args:
        item: A photo, a batch of photos, a pair (photos, labels), a row of a data set, or a list of these.

    Yields:
        (photo, label); the label is None if the item has none.

    Raises:
        DataError: The item has another form.
    """
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGE_KEYS if key in item), None)
        if image is None:
            raise DataError(
                f"a row with the keys {', '.join(map(str, item))} has no image; allowed keys: {', '.join(IMAGE_KEYS)}"
            )
        yield from _pairs(image, next((item[key] for key in LABEL_KEYS if key in item), None))
    elif isinstance(item, list | tuple):
        if len(item) == 2 and _is_label(item[1]) and not _is_label(item[0]):
            yield from _pairs(item[0], item[1])
        else:
            yield from each_item(item)
    else:
        yield from _pairs(item, None)


def _pairs(images: Any, labels: Any) -> Iterator[tuple[Photo, Any]]:
    """Pair each image with its label."""
    photos = list(_photos(images))
    own = [None] * len(photos) if labels is None else list(plain_labels(labels))
    if len(own) != len(photos):
        raise DataError(f"{len(own)} labels for {len(photos)} photos, but each photo needs one")
    yield from zip(photos, own, strict=True)


def _is_label(value: Any) -> bool:
    """Return whether a value is a label or a batch of labels: integers in at most one dimension."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | np.integer):
        return True
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_label(item) and not _is_array(item) for item in value)
    return _is_array(value) and len(value.shape) < 2 and "int" in str(value.dtype)


def plain_labels(labels: Any) -> Iterator[Any]:
    """Convert labels to Python numbers and strings. A single label counts as a list of one."""
    if _is_array(labels):
        labels = labels.tolist()
    if not isinstance(labels, list | tuple):
        labels = [labels]
    for label in labels:
        yield label.item() if _is_array(label) else label


def _photos(value: Any) -> Iterator[Photo]:
    """Read the photos of a path, an image, an array, a tensor, or a list of these.

    Raises:
        DataError: The value has another form, or a list contains a folder.
    """
    if isinstance(value, str | os.PathLike):
        path = Path(value)
        if not path.is_file():
            what = "is a folder; pass it alone, not in a list" if path.is_dir() else "no such photo"
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
        raise DataError(f"photos must be {FORMS}, not {type(value).__name__}")


def _from_array(value: Any) -> Iterator[Pixels]:
    """Read the photos of an array [H, W, 3] or [N, H, W, 3], or of a tensor, which may have its channels first.

    Raises:
        DataError: The shape is wrong, or the numbers are not clearly 8-bit pixels.
    """
    tensor = hasattr(value, "detach")
    if tensor:
        if value.is_meta or "strided" not in str(value.layout):
            kind = "meta" if value.is_meta else str(value.layout).removeprefix("torch.")
            raise DataError(f"a {kind} tensor holds no pixels that can be read; pass a dense tensor")
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    if array.ndim not in (3, 4):
        raise DataError(f"an array of photos must be [H, W, 3] or [N, H, W, 3], not {list(array.shape)}")
    first, last = array.shape[-3] == 3, array.shape[-1] == 3
    if tensor and first and last:
        raise DataError(
            f"a tensor {list(array.shape)}: the first and the last dimension could be the three colours; pass a uint8 "
            "NumPy array [H, W, 3]"
        )
    if tensor and first:
        array = np.moveaxis(array, -3, -1)
    elif not last:
        wanted = (
            "[3, H, W], [N, 3, H, W], [H, W, 3] or [N, H, W, 3]" if tensor else "[H, W, 3] or [N, H, W, 3]"
        )
        raise DataError(
            f"{'a tensor' if tensor else 'an array'} of photos must be {wanted}, not {list(array.shape)}"
        )
    array = _as_bytes(array)
    yield from (array if array.ndim == 4 else array[None])


def _as_bytes(array: NDArray[Any]) -> Pixels:
    """Convert to 8-bit pixels. Floats are accepted only if they can mean nothing else.

    Raises:
        DataError: The dtype is not supported, or floats could mean something else.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not array.size:
        raise DataError(f"photos must be uint8, 0 to 255, not {array.dtype}")
    low, high = float(array.min()), float(array.max())
    # ToTensor makes k / 255 of 8-bit pixels, and .float() makes k.
    for scale, most in ((255.0, 1.0), (1.0, 255.0)):
        scaled = array.astype(np.float64) * scale
        whole = np.rint(scaled)
        if low >= 0 and high <= most and np.abs(scaled - whole).max() < 1e-3:
            if high <= 1 and not np.any((array > 0) & (array < 1)):
                break
            return whole.astype(np.uint8)
    raise DataError(
        f"float pixels from {low:.4g} to {high:.4g} are ambiguous. Pass uint8, 0 to 255, or floats that are exactly "
        "k / 255 (ToTensor without Normalize and without resizing after it). Do not apply mean and std: the program "
        "does that"
    )
