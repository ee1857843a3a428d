"""Quantize a float model with calibration photos to an integer program."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from p2vit.errors import DataError
from p2vit.models.loaded import FloatModel
from p2vit.program.graph import IntegerProgram
from p2vit.program.maps import FeatureMap
from p2vit.quant.config import OURS, QuantConfig
from p2vit.quant.extreme_values import refuse_extreme_values
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import Progress, quantize_model, silent
from p2vit.quant.sensitivity import BlockError, block_errors
from p2vit.quant.simulated import QuantizedViT
from p2vit.version import __version__

if TYPE_CHECKING:
    from p2vit.quant.accuracy_control import AccuracyControl

#: Number of photos on which the error of each block is reported.
REPORT_PHOTOS = 4


@dataclass(frozen=True)
class QuantizeResult:
    """An integer program and how it was made.

    Attributes:
        program: The integer program.
        seconds: Wall-clock seconds from reading the first photo to the program.
        photos: Number of calibration photos.
        blocks: Local and cumulative error of each block on the first calibration photos.
        control: Programs that accuracy control tried; None without it.
    """

    program: IntegerProgram
    seconds: float
    photos: int
    blocks: list[BlockError]
    control: "AccuracyControl | None" = None


def quantize(
    model: FloatModel,
    photos: Iterable[NDArray[np.uint8]],
    config: QuantConfig = OURS,
    *,
    threads: int | None = None,
    progress: Progress = silent,
    seed: int = 0,
    calibration: str = "",
    maps: tuple[FeatureMap, ...] = (),
) -> QuantizeResult:
    """Quantize a model to an integer program.

    The same model, photos and configuration give the same program for every number of threads.

    Args:
        model: Float model in canonical form.
        photos: Calibration photos in batches, uint8 [B, H, W, 3].
        config: The method.
        threads: Number of threads; None uses the processor cores of this machine, at most 8.
        progress: Called with (stage, done, total).
        seed: Random seed that chose the photos; recorded in the provenance.
        calibration: Where the photos came from; recorded in the provenance.
        maps: Feature maps that the program puts out; see `p2vit.models.dense.feature_maps`.

    Raises:
        DataError: There is no calibration photo.
        ModelError: The method has no integer program, or the model's values are too large or too small.
        P2vitError: ``layer_bits`` names a layer that the model does not have, or a width is not 2 to 8 bits.
    """
    config.check_integer()
    start = time.perf_counter()
    quantized, count, first = _quantized(model, photos, config, threads, progress, maps)
    provenance = {
        "source": model.source,
        "weights_sha256": model.sha256,
        "architecture": model.config.name,
        "method": {**asdict(config), "layer_bits": dict(config.layer_bits)},
        "calibration": {"photos": count, "source": calibration, "seed": seed},
        "p2vit": __version__,
        # The last bits of float sums in calibration depend on these two, and a few rounded weights depend on them.
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **model.record,
    }
    with refuse_extreme_values(model, first):
        program = lower(quantized, model.preprocessing, model.class_names, provenance)
        seconds = time.perf_counter() - start
        return QuantizeResult(program, seconds, count, block_errors(model.module, quantized, first, threads))


def simulated(
    model: FloatModel,
    photos: Iterable[NDArray[np.uint8]],
    config: QuantConfig,
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> QuantizedViT:
    """Quantize a model for simulation in float32. Every method is allowed, also one without an integer program.

    Run the result with :func:`p2vit.quant.pipeline.simulate`. The arguments are those of :func:`quantize`.

    Raises:
        DataError: There is no calibration photo.
        P2vitError: As in :func:`quantize`.
    """
    return _quantized(model, photos, config, threads, progress)[0]


def _quantized(
    model: FloatModel,
    photos: Iterable[NDArray[np.uint8]],
    config: QuantConfig,
    threads: int | None,
    progress: Progress,
    maps: tuple[FeatureMap, ...] = (),
) -> tuple[QuantizedViT, int, NDArray[np.uint8]]:
    stream: Iterator[NDArray[np.uint8]] = iter(photos)
    head = next(stream, None)
    if head is None or not len(head):
        raise DataError("no calibration photo could be read; at least one is needed")
    with refuse_extreme_values(model, head):
        quantized, count = quantize_model(
            model.module, chain([head], stream), config, threads, progress, maps=maps
        )
    return quantized, count, head[:REPORT_PHOTOS]
