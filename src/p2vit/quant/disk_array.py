"""Arrays on disk for photos and activations, so that memory does not grow with the number of calibration photos."""

import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.errors import P2vitError
from p2vit.models.windows import BlockShape
from p2vit.quant.config import QuantConfig

#: Photos per task; fixed, so that results do not depend on the number of threads.
BATCH = 4


class DiskArray:
    """An array [photos, ...] in a file. It is read and written in batches of ``BATCH`` photos.

    Args:
        data: The memory-mapped file.

    Attributes:
        batches: Indices of the batches.
    """

    def __init__(self, data: np.memmap) -> None:
        self._data = data
        self.batches = range(-(-len(data) // BATCH))

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self._data)

    def __getitem__(self, index: int) -> Tensor:
        """Return a copy of one batch."""
        return torch.from_numpy(np.array(self._data[index * BATCH : (index + 1) * BATCH]))

    def __setitem__(self, index: int, value: Tensor) -> None:
        """Overwrite one batch."""
        self._data[index * BATCH : (index + 1) * BATCH] = value.numpy()


class ArrayFolder:
    """Temporary folder of the arrays of one quantization; a context manager that removes it."""

    def __enter__(self) -> "ArrayFolder":
        """Make the folder.

        Raises:
            P2vitError: The folder cannot be made.
        """
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="p2vit-")
        except OSError as error:
            raise P2vitError(
                f"cannot make a temporary folder: {error.strerror or error}. Set TMPDIR to a folder that can be written"
            ) from None
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the folder and the files in it."""
        self._folder.cleanup()

    def new(self, name: str, shape: tuple[int, ...]) -> DiskArray:
        """Make a float32 array of zeros.

        Args:
            name: Name of the file.
            shape: [photos, ...].

        Raises:
            P2vitError: The disk is full.
        """
        path, size = Path(self._folder.name) / name, 4 * math.prod(shape)
        try:
            with path.open("wb") as file:
                # If a mapped file runs out of disk space later, the operating system kills the process.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
        except OSError as error:
            raise _no_room(path.parent, size, error) from None
        return DiskArray(np.memmap(path, dtype=np.float32, mode="r+", shape=shape))

    def pixels(self, batches: Iterable[NDArray[np.uint8]], shape: tuple[int, ...]) -> DiskArray:
        """Write photos to a file, batch by batch.

        Args:
            batches: Photos, uint8 [B, H, W, 3].
            shape: [H, W, 3] of each photo.

        Returns:
            The photos as a read-only array.

        Raises:
            ValueError: There is no photo, or one has another shape or dtype.
            P2vitError: The disk is full.
        """
        path, count = Path(self._folder.name) / "pixels", 0
        with path.open("wb", buffering=0) as file:
            for batch in batches:
                if batch.dtype != np.uint8 or batch.shape[1:] != shape:
                    raise ValueError(
                        f"calibration photos are {batch.dtype} {list(batch.shape)}; expected uint8 [B, {shape}]"
                    )
                _write(file, np.ascontiguousarray(batch).tobytes(), path.parent)
                count += len(batch)
        if not count:
            raise ValueError("no calibration photo; at least one is needed")
        return DiskArray(np.memmap(path, dtype=np.uint8, mode="r", shape=(count, *shape)))


def _write(file: FileIO, data: bytes, folder: Path) -> None:
    """Write all bytes; a raw file may take fewer at a time.

    Raises:
        P2vitError: The disk is full.
    """
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _no_room(folder, len(data), error) from None


def _no_room(folder: Path, size: int, error: OSError) -> P2vitError:
    """Return the error for a temporary folder that is full."""
    return P2vitError(
        f"{folder}: the activations of the photos do not fit there: {error.strerror or error}; {size:,} "
        "bytes are needed. Free disk space, set TMPDIR to another folder, or take fewer photos (--calib-images)"
    )


@dataclass(frozen=True)
class ResidualStreams:
    """The residual streams of one stage, float32 [photos, N, C] each.

    Attributes:
        own: Residual stream of the quantized model.
        scratch: Array for intermediate values.
        exact: Residual stream of the float model. None if weights are not rounded to reproduce it.
    """

    own: DiskArray
    scratch: DiskArray
    exact: DiskArray | None

    @staticmethod
    def new(
        folder: ArrayFolder, name: str, photos: int, shape: BlockShape, config: QuantConfig
    ) -> "ResidualStreams":
        """ResidualStreams for blocks of a shape."""

        def stream(role: str) -> DiskArray:
            return folder.new(f"{name}.{role}", (photos, shape.tokens, shape.dim))

        return ResidualStreams(
            stream("own"), stream("scratch"), stream("exact") if config.aims_at_float else None
        )
