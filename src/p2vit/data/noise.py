"""Photo set ``noise``: seeded random photos, for tests, timing and costing without real photos."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2vit.data.source import UNLABELLED, Labels, Pixels, batched
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

CALIBRATION, EVALUATION = 0, 1


class NoisePhotos:
    """A `PhotoSource` of random photos: smooth blobs of colour with fine grain, the same on every machine.

    Pure pixel noise would average out within a patch, so that all photos would look alike to a ViT.

    Attributes:
        name: ``noise``.
        classes: Always empty, because there are no labels.
        skipped: Always empty.
    """

    strict = True

    def __init__(self, preprocessing: Preprocessing, count: int = 256, seed: int = 0) -> None:
        """Set up the source. Each photo is made when it is needed.

        Args:
            preprocessing: Preprocessing of the model; only its image size is used.
            count: Number of photos of `evaluation`.
            seed: Random seed of the evaluation photos.
        """
        self.name = "noise"
        self.classes: tuple[str, ...] = ()
        self.skipped: list[tuple[str, str]] = []
        self.image_size = preprocessing.image_size
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Make photos that are different from all photos of `evaluation`.

        Args:
            count: Number of photos.
            seed: Random seed.
            batch_size: Photos per batch.

        Yields:
            uint8 [B, H, W, 3].

        Raises:
            DataError: ``count`` is below 1.
        """
        if count < 1:
            raise DataError(f"calibration needs at least 1 photo, not {count}")
        make = batched(range(count), lambda i: self._photo(seed, CALIBRATION, i), batch_size)
        yield from (pixels for pixels, _ in make)

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Make the evaluation photos.

        Args:
            limit: Number of photos, the first ones; None for all.
            batch_size: Photos per batch.

        Yields:
            (pixels uint8 [B, H, W, 3], labels int64 [B], all -1).
        """
        for pixels, which in batched(self.order(limit).tolist(), self.photo, batch_size):
            yield pixels, self.labels_of(which)

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Return the numbers of the first ``limit`` photos, or of all: int64 [photos]."""
        return np.arange(self.count if limit is None else min(limit, self.count), dtype=np.int64)

    def photo(self, number: int) -> Pixels:
        """Make one evaluation photo, uint8 [H, W, 3]."""
        return self._photo(self.seed, EVALUATION, number)

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Return -1 for every photo, because no photo has a label."""
        return np.full_like(numbers, UNLABELLED)

    def title(self, number: int) -> str:
        """Return a name with the photo's number."""
        return f"noise photo {number}"

    def _photo(self, seed: int, stream: int, index: int) -> Pixels:
        """Make one photo, uint8 [H, W, 3], with its own random generator, so that no photo depends on another."""
        rng = np.random.default_rng((seed, stream, index))
        height, width = self.image_size
        blobs = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(blobs.resize((width, height), Image.Resampling.BILINEAR)).astype(np.int64)
        grain = rng.integers(0, 256, (height, width, 3))
        return ((3 * smooth + grain) // 4).astype(np.uint8)
