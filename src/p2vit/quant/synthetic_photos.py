"""Synthetic photos beside the calibration photos, so that ranges also hold for photos that look different."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from p2vit.data.noise import NoisePhotos
from p2vit.program.preprocessing import Preprocessing

#: Seed of the synthetic photos: the same for everybody.
SEED = 0


def with_synthetic_photos(
    photos: Iterable[NDArray[np.uint8]], image_size: tuple[int, int], count: int
) -> Iterator[NDArray[np.uint8]]:
    """Calibration photos, and behind them some synthetic ones in all colours.

    Photos of one kind leave channels silent that others excite: calibrated on grey photos alone, a program clips the
    first block's attention output on coloured ones.

    Args:
        photos: Batches uint8 [B, H, W, 3].
        image_size: Height and width of the synthetic photos.
        count: How many; 0 for none.
    """
    yield from photos
    if count:
        yield from NoisePhotos(Preprocessing(image_size=image_size)).calibration(count, SEED)
