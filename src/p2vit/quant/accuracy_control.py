"""Accuracy control: raise the weight widths of the most sensitive layers until program and float model agree."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from p2vit.engine.registry import fastest
from p2vit.errors import P2vitError
from p2vit.models.loaded import FloatModel
from p2vit.program.graph import IntegerProgram
from p2vit.quant.api import QuantizeResult
from p2vit.quant.config import QuantConfig
from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.direct import direct_sensitivity
from p2vit.quant.search.library import build_library
from p2vit.quant.search.score import PHOTOS_AT_ONCE, Scorer
from p2vit.quant.workers import Workers

#: Width that layers are raised to, in bits.
RAISED_BITS = 8
#: Each attempt raises the number of layers divided by one of these.
DIVISORS = (8, 4, 2, 1)
#: Held-out photos on which the sensitivity of each layer is measured.
SENSITIVITY_PHOTOS = 16


@dataclass(frozen=True)
class Attempt:
    """One program that was tried.

    Attributes:
        raised: Names of the layers with ``RAISED_BITS`` bits instead of their own width, most sensitive first.
        agreement: Percent of the held-out photos on which program and float model predict the same class.
    """

    raised: tuple[str, ...]
    agreement: float


@dataclass(frozen=True)
class AccuracyControl:
    """Programs that were tried, and the one that was taken.

    Attributes:
        max_drop: Largest allowed share of photos on which the two models predict different classes, in percent.
        held_out: Number of photos that agreement was measured on.
        attempts: Programs that were tried, in order.
        taken: Index of the program that was taken: the first that holds, otherwise the one with the best agreement.
    """

    max_drop: float
    held_out: int
    attempts: tuple[Attempt, ...]
    taken: int

    @property
    def holds(self) -> bool:
        """Whether the program that was taken is within the limit."""
        return within(self.attempts[self.taken].agreement, self.max_drop)


def within(agreement: float, max_drop: float) -> bool:
    """Return whether an agreement, in percent, is at most ``max_drop`` points below 100."""
    return agreement >= 100 - max_drop


def check_head(model: FloatModel) -> None:
    """Check that a model has classes to agree on.

    Raises:
        P2vitError: It has none, or its classes are the texts of an image embedding.
    """
    if not model.config.num_classes or model.config.embedding_dim:
        what = "an image embedding" if model.config.embedding_dim else "no classes"
        raise P2vitError(
            f"{model.source} has {what}: --max-drop compares the classes of program and float model; omit --max-drop "
            "and measure the SQNR with 'p2vit eval'"
        )


def control_accuracy(
    model: FloatModel,
    photos: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    config: QuantConfig,
    max_drop: float,
    make: Callable[[QuantConfig], QuantizeResult],
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> tuple[QuantizeResult, AccuracyControl]:
    """Quantize a model, and raise widths until it agrees with the float model on held-out photos.

    The layers are ordered by the error that their width alone causes. Each attempt raises more of them to 8 bits, and
    quantizes the model again from scratch.

    Args:
        model: Float model with a head.
        photos: Calibration photos and held-out photos, uint8 [P, H, W, 3] each. No labels are used.
        config: The method, and the widths to start from.
        max_drop: Largest allowed share of held-out photos with another class, in percent.
        make: Quantizes the model with a configuration on the calibration photos.
        threads: Number of threads; None uses the processor cores of this machine, at most 8.
        progress: Called with (stage, done, total).

    Raises:
        P2vitError: The model has no head.
    """
    check_head(model)
    calibration, held_out = photos
    with Workers(threads) as workers, torch.inference_mode():
        # One photo at a time, because the last bits of a product depend on the batch size.
        parts = workers.map(model.module, list(torch.from_numpy(held_out).split(1)))
    wanted = torch.cat(parts).argmax(dim=1).numpy()
    results = [make(config)]
    attempts = [Attempt((), agreement(results[0].program, held_out, wanted, threads))]
    if not within(attempts[0].agreement, max_drop):
        order = by_sensitivity(model, calibration, held_out, config, threads, progress)
        for divisor in DIVISORS if order else ():
            raised = tuple(order[: max(1, len(order) // divisor)])
            widths = {**config.layer_bits, **dict.fromkeys(raised, RAISED_BITS)}
            results.append(make(replace(config, layer_bits=widths)))
            attempts.append(Attempt(raised, agreement(results[-1].program, held_out, wanted, threads)))
            if within(attempts[-1].agreement, max_drop):
                break
    best = max(range(len(attempts)), key=lambda index: attempts[index].agreement)
    return results[best], AccuracyControl(max_drop, len(held_out), tuple(attempts), best)


def by_sensitivity(
    model: FloatModel,
    calibration: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    config: QuantConfig,
    threads: int | None,
    progress: Progress,
) -> list[str]:
    """Return the names of the layers below ``RAISED_BITS`` bits, the most sensitive first.

    The sensitivity of a layer is the error of the feature with its width in this layer and ``RAISED_BITS`` elsewhere.
    """
    widths = {config.weight_bits, RAISED_BITS, *config.layer_bits.values()}
    if widths == {RAISED_BITS}:
        return []
    library = build_library(model, [calibration], config, sorted(widths), threads, progress)
    scorer = Scorer.of(model.module, library, held_out[:SENSITIVITY_PHOTOS], threads)
    table = direct_sensitivity(scorer, threads, progress)
    narrow = {name: errors[config.bits_of(name)] for name, errors in table.items()}
    names = [name for name in narrow if config.bits_of(name) < RAISED_BITS]
    return sorted(names, key=lambda name: -narrow[name])


def agreement(
    program: IntegerProgram, photos: NDArray[np.uint8], wanted: NDArray[np.int64], threads: int | None
) -> float:
    """Return the percentage of photos for which the program's largest logit is that of the wanted class."""
    executor, spec = fastest(program, threads), program.tensors[program.output]
    hits = 0
    for start in range(0, len(photos), PHOTOS_AT_ONCE):
        batch = slice(start, start + PHOTOS_AT_ONCE)
        logits = spec.real(executor.run(photos[batch], [program.output])[program.output])
        hits += int((logits.reshape(len(logits), -1).argmax(axis=1) == wanted[batch]).sum())
    return round(100 * hits / len(photos), 2)
