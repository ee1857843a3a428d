"""Arrays of all calibration photos on disk, so that memory does not grow with their number."""

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

#: Photos that one task computes with; fixed, so that results do not depend on the number of workers.
BATCH = 4


class DiskArray:
    """An array [photos, ...] in a file, read and written in batches of fixed size.

    Args:
        data: The file's array.
    """

    def __init__(self, data: np.memmap) -> None:
        self._data = data
        self.batches = range(-(-len(data) // BATCH))

    def __len__(self) -> int:
        """Photos."""
        return len(self._data)

    def __getitem__(self, index: int) -> Tensor:
        """Batch ``index``, a copy."""
        return torch.from_numpy(np.array(self._data[index * BATCH : (index + 1) * BATCH]))

    def __setitem__(self, index: int, value: Tensor) -> None:
        """Replace batch ``index``."""
        self._data[index * BATCH : (index + 1) * BATCH] = value.numpy()


class ArrayFolder:
    """The streams of one quantization; a context manager that removes their files."""

    def __enter__(self) -> "ArrayFolder":
        """Make the folder."""
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="p2vit-")
        except OSError as error:
            raise P2vitError(
                f"no temporary folder can be made: {error.strerror or error}; name another in TMPDIR"
            ) from None
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove it."""
        self._folder.cleanup()

    def new(self, name: str, shape: tuple[int, ...]) -> DiskArray:
        """A float32 stream of that name and shape [photos, ...]."""
        path, size = Path(self._folder.name) / name, 4 * math.prod(shape)
        try:
            with path.open("wb") as file:
                # Room that a mapped file finds missing later would end the process.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
        except OSError as error:
            raise _no_room(path.parent, size, error) from None
        return DiskArray(np.memmap(path, dtype=np.float32, mode="r+", shape=shape))

    def pixels(self, batches: Iterable[NDArray[np.uint8]], shape: tuple[int, ...]) -> DiskArray:
        """Write photos as they come and return them as a stream.

        Args:
            batches: uint8 [B, H, W, 3].
            shape: [H, W, 3] that each photo must have.

        Raises:
            ValueError: no photo came, or one of another shape or dtype.
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
            raise ValueError("no calibration photo came; at least one is needed")
        return DiskArray(np.memmap(path, dtype=np.uint8, mode="r", shape=(count, *shape)))


def _write(file: FileIO, data: bytes, folder: Path) -> None:
    """All of the bytes.

    Raises:
        P2vitError: the disk is full.
    """
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _no_room(folder, len(data), error) from None


def _no_room(folder: Path, size: int, error: OSError) -> P2vitError:
    """The error for a temporary folder that is full."""
    return P2vitError(
        f"{folder}: calibration photos' values cannot be kept there: {error.strerror or error}; {size:,} bytes "
        "are needed. Make room there, name another folder in TMPDIR, or take fewer photos (--calib-images)"
    )


@dataclass(frozen=True)
class ResidualStreams:
    """The residual streams of one stage, float32 [photos, N, C] each.

    Attributes:
        own: The quantized model's.
        scratch: For what lies between two passes.
        exact: The float model's; None where the method does not aim at it.
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
