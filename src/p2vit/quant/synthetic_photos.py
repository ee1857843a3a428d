"""Synthetic photos in addition to the calibration photos, so that a program also suits photos of other kinds."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from p2vit.data.synthetic import SyntheticPhotos
from p2vit.program.preprocessing import Preprocessing

#: Random seed of the synthetic photos.
SEED = 0


def synthetic_photos(image_size: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield synthetic photos in batches, uint8 [B, H, W, 3].

    Photos of one kind leave some channels near zero that other photos excite. A program that is calibrated on grey
    photos alone clips the first block's attention output on coloured photos.

    Args:
        image_size: Height and width in pixels.
        count: Number of photos.
    """
    if count:
        yield from SyntheticPhotos(Preprocessing(image_size=image_size)).calibration(count, SEED)
