"""A benchmark with one fixed split: calibrate on one half of the photos, measure on the other."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2vit.data.preprocess import read_pixels
from p2vit.data.source import Labels, Pixels, batched
from p2vit.errors import DataError, MissingPackageError
from p2vit.program.preprocessing import Preprocessing


class SplitPhotos:
    """A `PhotoSource` of which half is for training and calibration, and half is held out.

    Attributes:
        name: The benchmark's name.
        classes: Class names in label order.
        labels: int64 [N], of every photo in both halves.
        train: int64 indices of the half that calibration and probes may see.
        test: int64 indices of the held-out half, in the split's own (shuffled) order.
        skipped: Always empty: a damaged file in an installed package is an error.
    """

    strict = True

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        labels: Labels,
        strata: NDArray[np.int64],
        read: Callable[[int], Pixels],
    ) -> None:
        """Split the photos.

        Args:
            name: The benchmark's name.
            classes: Class names in label order.
            labels: int64 [N].
            strata: int64 [N]; each value is spread evenly over both halves.
            read: Returns photo i of N as uint8 [H, W, 3].

        Raises:
            MissingPackageError: scikit-learn is not installed.
        """
        self.name = name
        self.classes = tuple(classes)
        self.labels = labels
        self.read = read
        self.skipped: list[tuple[str, str]] = []
        self.train, self.test = half_and_half(strata)

    def __len__(self) -> int:
        return len(self.test)

    def calibration(self, count: int, seed: int = 0, batch_size: int = 32) -> Iterator[Pixels]:
        """Draw from the training half; see `PhotoSource.calibration`.

        Args:
            count: Photos wanted.
            seed: Of the draw.
            batch_size: Photos per batch.

        Yields:
            uint8 [B, H, W, 3].

        Raises:
            DataError: ``count`` is below 1.
        """
        if count < 1:
            raise DataError(f"calibration needs at least 1 photo, not {count}")
        order = np.random.default_rng(seed).permutation(self.train)
        yield from (pixels for pixels, _ in batched(order[:count].tolist(), self.read, batch_size))

    def training(self, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Go through the whole training half, in the split's own order: what probes are fitted on.

        Args:
            batch_size: Photos per batch.

        Yields:
            (uint8 [B, H, W, 3], int64 [B]).
        """
        for pixels, which in batched(self.train.tolist(), self.read, batch_size):
            yield pixels, self.labels[which]

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Go through the held-out half; see `PhotoSource.evaluation`.

        Args:
            limit: The first so many; the split is shuffled, so they meet every class.
            batch_size: Photos per batch.

        Yields:
            (uint8 [B, H, W, 3], int64 [B]).
        """
        for pixels, which in batched(self.order(limit).tolist(), self.read, batch_size):
            yield pixels, self.labels[which]

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Numbers of the held-out half, or of its first ``limit`` photos."""
        return self.test[:limit]

    def photo(self, number: int) -> Pixels:
        """Read one photo of either half, uint8 [H, W, 3].

        Raises:
            DataError: the installed package is damaged.
        """
        return self.read(number)

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Labels of photos of either half."""
        return self.labels[numbers]

    def title(self, number: int) -> str:
        """The benchmark and the photo's number in it."""
        return f"{self.name} photo {number}"


def file_reader(paths: Sequence[Path], preprocessing: Preprocessing) -> Callable[[int], Pixels]:
    """Return what reads photo ``i`` of a list of files.

    Args:
        paths: The files.
        preprocessing: The model's.

    Returns:
        A function from an index to uint8 [H, W, 3].
    """
    return lambda index: read_pixels(paths[index], preprocessing)


def half_and_half(strata: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split indices into two halves with scikit-learn and seed 0, the recipe of every benchmark here.

    Args:
        strata: int64 [N]; each value is spread evenly over both halves.

    Returns:
        (train, test), int64 indices in the split's order.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise MissingPackageError("scikit-learn", "splitting a benchmark's photos", "bench") from None
    train, test = train_test_split(np.arange(len(strata)), test_size=0.5, random_state=0, stratify=strata)
    return train.astype(np.int64), test.astype(np.int64)


def package_folder(module: str, package: str, benchmark: str) -> Path:
    """Find an installed package's folder without importing it: only its data files are wanted.

    Args:
        module: Import name.
        package: Distribution name, for the message.
        benchmark: What needs it, for the message.

    Returns:
        The package's folder.

    Raises:
        MissingPackageError: it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(package, f"the benchmark '{benchmark}'", "bench")
    return Path(next(iter(spec.submodule_search_locations)))
