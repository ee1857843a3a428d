"""Outputs of the float model from earlier evaluations, kept in the user's cache folder.

A sweep evaluates many programs of one float model on the same photos. The float model takes most of that time, and its
outputs are always the same. An entry holds the outputs for one batch. Its key is a hash of everything that the outputs
depend on: the weights, the configuration, the code of the float form, the version of torch, the processor and the
pixels of the batch. The last bits of the outputs depend on the batch, so other batches are other entries.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from p2vit.evaluate.records import Pixels, Predict
from p2vit.files import BoundedCache, cache_folder

#: Variable of the environment with the size of the cache in MB; 0 switches it off.
SIZE_VARIABLE = "P2VIT_FLOAT_CACHE_MB"
DEFAULT_MB = 1024


def float_cache() -> BoundedCache | None:
    """Return the cache of float outputs, or None if it is switched off."""
    given = os.environ.get(SIZE_VARIABLE, "")
    megabytes = int(given) if given.isascii() and given.isdigit() else DEFAULT_MB
    return BoundedCache(cache_folder() / "float", megabytes << 20) if megabytes else None


@lru_cache(maxsize=1)
def surroundings() -> dict[str, Any]:
    """Return what the outputs of any float model depend on: versions, the processor, and the code of the float form."""
    code = hashlib.sha256()
    for source in sorted(files("p2vit.models").iterdir(), key=lambda each: each.name):
        if source.name.endswith(".py"):
            code.update(source.name.encode() + source.read_bytes())
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return {"torch": torch, "processor": processor_name(), "code": code.hexdigest()}


def processor_name() -> str:
    """Return what distinguishes processors that may compute other last bits: model and features, where known."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = [
                line for line in file if line.startswith(("model name", "flags", "Features", "CPU part"))
            ]
        return hashlib.sha256("".join(sorted(set(lines))).encode()).hexdigest()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"


class CachedFloat:
    """The float model's function from pixels to outputs, which looks into the cache first.

    Attributes:
        hits: Number of photos whose outputs came from the cache.
    """

    def __init__(self, cache: BoundedCache, identity: dict[str, Any], load: Callable[[], Predict]) -> None:
        """Prepare the function.

        Args:
            cache: The cache.
            identity: What identifies the float model: its weights and configuration, plain JSON values.
            load: Function that returns the float model's function. It is called at the first batch that is not in the
                cache, and may raise what loading a model raises.
        """
        self.cache, self.load = cache, load
        self.identity = json.dumps(surroundings() | identity, sort_keys=True, default=str).encode()
        self.hits = 0
        self._predict: Predict | None = None
        self._lock = Lock()

    def __call__(self, pixels: Pixels) -> Sequence[NDArray[np.floating]]:
        """Return logits and features of a batch, float32 [B, outputs] and [B, channels]."""
        key = self.key(pixels)
        found = self._read(key, len(pixels))
        if found is not None:
            with self._lock:
                self.hits += len(pixels)
            return found
        with self._lock:
            if self._predict is None:
                self._predict = self.load()
        logits, features = self._predict(pixels)
        arrays = {"logits": np.ascontiguousarray(logits), "features": np.ascontiguousarray(features)}
        self.cache.put(key, safetensors.numpy.save(arrays, {"key": key}))
        return logits, features

    def key(self, pixels: Pixels) -> str:
        """Return the key of a batch, 64 hexadecimal digits."""
        digest = hashlib.sha256(self.identity)
        digest.update(f" {pixels.dtype.str} {pixels.shape} ".encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
        return digest.hexdigest()

    def _read(self, key: str, photos: int) -> Sequence[NDArray[np.floating]] | None:
        """Return the outputs of an entry, or None if there is none that is whole."""
        content = self.cache.get(key)
        if content is None:
            return None
        try:
            arrays = safetensors.numpy.load(content)
            found = arrays["logits"], arrays["features"]
        except (SafetensorError, KeyError, ValueError):
            return None
        whole = all(each.dtype == np.float32 and each.ndim == 2 and len(each) == photos for each in found)
        return found if whole else None
