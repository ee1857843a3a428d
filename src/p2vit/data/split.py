"""A benchmark with a fixed split: one half of the photos for training and calibration, the other for evaluation."""

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
    """A `PhotoSource` with a training half, for calibration and probes, and a held-out test half.

    Attributes:
        name: Name of the benchmark.
        classes: Class names in label order.
        labels: Labels of all photos, int64 [N].
        train: Indices of the training half, int64.
        test: Indices of the test half in the shuffled order of the split, int64.
        skipped: Always empty, because a damaged file in an installed package is an error.
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
            name: Name of the benchmark.
            classes: Class names in label order.
            labels: int64 [N].
            strata: int64 [N]. Photos with the same value are divided evenly between both halves.
            read: Function that returns photo i of N as uint8 [H, W, 3].

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
        """Draw photos of the training half; see `PhotoSource.calibration`.

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
        order = np.random.default_rng(seed).permutation(self.train)
        yield from (pixels for pixels, _ in batched(order[:count].tolist(), self.read, batch_size))

    def training(self, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Iterate over the whole training half in the order of the split, to fit a linear probe.

        Args:
            batch_size: Photos per batch.

        Yields:
            (pixels uint8 [B, H, W, 3], labels int64 [B]).
        """
        for pixels, which in batched(self.train.tolist(), self.read, batch_size):
            yield pixels, self.labels[which]

    def evaluation(self, limit: int | None = None, batch_size: int = 32) -> Iterator[tuple[Pixels, Labels]]:
        """Iterate over the test half; see `PhotoSource.evaluation`.

        Args:
            limit: Number of photos, the first ones; None for all. The split is shuffled, so all classes occur.
            batch_size: Photos per batch.

        Yields:
            (pixels uint8 [B, H, W, 3], labels int64 [B]).
        """
        for pixels, which in batched(self.order(limit).tolist(), self.read, batch_size):
            yield pixels, self.labels[which]

    def order(self, limit: int | None = None) -> NDArray[np.int64]:
        """Return the numbers of the test half, or of its first ``limit`` photos: int64 [photos]."""
        return self.test[:limit]

    def photo(self, number: int) -> Pixels:
        """Read one photo of either half, uint8 [H, W, 3].

        Raises:
            DataError: The installed package is damaged.
        """
        return self.read(number)

    def labels_of(self, numbers: NDArray[np.int64]) -> Labels:
        """Return the labels of photos of either half, int64 of the same shape."""
        return self.labels[numbers]

    def title(self, number: int) -> str:
        """Return the name of the benchmark with the photo's number."""
        return f"{self.name} photo {number}"


def file_reader(paths: Sequence[Path], preprocessing: Preprocessing) -> Callable[[int], Pixels]:
    """Return a function that reads photo ``i`` of a list of files.

    Args:
        paths: The files.
        preprocessing: Preprocessing of the model.

    Returns:
        Function from an index to uint8 [H, W, 3].
    """
    return lambda index: read_pixels(paths[index], preprocessing)


def half_and_half(strata: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split indices into two halves with scikit-learn and random seed 0, as all benchmarks here do.

    Args:
        strata: int64 [N]. Indices with the same value are divided evenly between both halves.

    Returns:
        (train, test): int64 indices in the order of the split.

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
    """Find the folder of an installed package without importing it, to read its data files.

    Args:
        module: Import name of the package.
        package: Distribution name of the package, for the message.
        benchmark: Name of the benchmark, for the message.

    Returns:
        The folder.

    Raises:
        MissingPackageError: The package is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(package, f"the benchmark '{benchmark}'", "bench")
    return Path(next(iter(spec.submodule_search_locations)))
