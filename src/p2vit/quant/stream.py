"""Activations of all calibration photos on disk, so that memory does not grow with their number."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Stream:
    """A float32 array [photos, ...] in a temporary file, read and written in batches of fixed size.

    Args:
        folder: Where the file goes; deleted with it.
        name: File name.
        photos: First axis.
        shape: The other axes.
        batch: Photos per batch.
    """

    def __init__(self, folder: Path, name: str, photos: int, shape: tuple[int, ...], batch: int) -> None:
        self._data = np.memmap(folder / name, dtype=np.float32, mode="w+", shape=(photos, *shape))
        self.batch = batch
        self.batches = range(-(-photos // batch))

    def __getitem__(self, index: int) -> Tensor:
        """Batch ``index``, a copy."""
        return torch.from_numpy(np.array(self._data[index * self.batch : (index + 1) * self.batch]))

    def __setitem__(self, index: int, value: Tensor) -> None:
        """Replace batch ``index``."""
        self._data[index * self.batch : (index + 1) * self.batch] = value.numpy()


class Streams:
    """The streams of one quantization; a context manager that removes their files."""

    def __init__(self, photos: int, batch: int) -> None:
        self.photos, self.batch = photos, batch

    def __enter__(self) -> "Streams":
        """Make the folder."""
        self._folder = tempfile.TemporaryDirectory(prefix="p2vit-")
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove it."""
        self._folder.cleanup()

    def new(self, name: str, shape: tuple[int, ...]) -> Stream:
        """A stream of that name; an older one of the same name is overwritten."""
        return Stream(Path(self._folder.name), name, self.photos, shape, self.batch)
