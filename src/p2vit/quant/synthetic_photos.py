"""Synthetic photos that are added to the calibration photos, so that ranges also cover photos of other kinds."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from p2vit.data.noise import NoisePhotos
from p2vit.program.preprocessing import Preprocessing

#: Random seed of the synthetic photos.
SEED = 0


def with_synthetic_photos(
    photos: Iterable[NDArray[np.uint8]], image_size: tuple[int, int], count: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield the calibration photos, and after them synthetic photos in all colours.

    Photos of one kind leave some channels near zero that other photos excite. A program that is calibrated on grey
    photos alone clips the first block's attention output on coloured photos.

    Args:
        photos: Batches of calibration photos, uint8 [B, H, W, 3].
        image_size: Height and width of the synthetic photos in pixels.
        count: Number of synthetic photos.
    """
    yield from photos
    if count:
        yield from NoisePhotos(Preprocessing(image_size=image_size)).calibration(count, SEED)
