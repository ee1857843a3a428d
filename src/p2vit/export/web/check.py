"""Runs the WebAssembly modules of a program here, in Wasmtime, as a browser would."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from p2vit.errors import MissingPackageError
from p2vit.numerics.rounding import IntArray


class Module:
    """A WebAssembly module of a program, ready to run.

    Args:
        code: The module.
        weights: Bytes of all weights.
        pixels: Shape of the pixels, (H, W, 3).
        outputs: Number of outputs.
        features: Number of features.
        deterministic: Run relaxed SIMD in the form that WebAssembly defines for every machine, which reads all bytes as
            signed, instead of the form that suits this machine.

    Attributes:
        byte_products: How this machine reads relaxed byte products, as in ``relaxed.h``; 0 if they are not used.

    Raises:
        MissingPackageError: Wasmtime is not installed.
    """

    def __init__(
        self,
        code: bytes,
        weights: bytes,
        pixels: Sequence[int],
        outputs: int,
        features: int,
        *,
        deterministic: bool = False,
    ) -> None:
        try:
            import wasmtime
        except ImportError:
            raise MissingPackageError("wasmtime", "checking the WebAssembly modules", "web") from None
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        config.wasm_relaxed_simd_deterministic = deterministic
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        instance = wasmtime.Instance(self._store, wasmtime.Module(engine, code), [])
        # Any of a module's exports may be a function, a memory, a table, ...
        exports: Any = instance.exports(self._store)
        self._exports = exports
        self._memory = exports["memory"]
        self._pixels = tuple(pixels)
        self._sizes = {"outputs": outputs, "features": features}
        self._memory.write(self._store, weights, self._exports["weights"](self._store))
        self.byte_products: int = self._exports["prepare"](self._store)

    def run(self, pixels: IntArray) -> dict[str, IntArray]:
        """Run one photo.

        Args:
            pixels: uint8 [H, W, 3].

        Returns:
            ``outputs`` and ``features``, int32 [n].
        """
        self._memory.write(
            self._store,
            np.ascontiguousarray(pixels, np.uint8).tobytes(),
            self._exports["pixels"](self._store),
        )
        self._exports["run"](self._store)
        return {name: self._read(name, count) for name, count in self._sizes.items()}

    def _read(self, name: str, count: int) -> IntArray:
        start = self._exports[name](self._store)
        return np.frombuffer(bytes(self._memory.read(self._store, start, start + 4 * count)), "<i4")
