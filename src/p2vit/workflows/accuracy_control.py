"""``p2vit quantize --max-drop``: draw photos for calibration and others to compare on, and report what was raised."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from p2vit.errors import DataError
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.quantize import QuantizeOptions
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from p2vit.data.source import PhotoSource
    from p2vit.models.loaded import FloatModel
    from p2vit.quant.accuracy_control import AccuracyControl
    from p2vit.quant.api import QuantizeResult
    from p2vit.quant.config import QuantConfig
    from p2vit.quant.pipeline import Progress


def controlled(
    model: "FloatModel",
    photos: "PhotoSource",
    config: "QuantConfig",
    options: QuantizeOptions,
    make: "Callable[[QuantConfig, Iterable[NDArray[np.uint8]]], QuantizeResult]",
    out: Feedback,
    progress: "Progress",
) -> "QuantizeResult":
    """Quantize with ``options.max_drop``.

    Args:
        model: The float model.
        photos: Photos to calibrate on and, others of them, to compare on.
        config: The method and the widths to start from.
        options: Options, with ``max_drop`` and ``calib_images``.
        make: Quantizes the model with a configuration on batches of calibration photos.
        out: Receives warnings.
        progress: Called with (stage, done, total).

    Raises:
        DataError: Fewer than two photos can be read.
        P2vitError: The model has no head.
    """
    from p2vit.quant.accuracy_control import check_head, control_accuracy

    assert options.max_drop is not None
    assert options.calib_images is not None
    check_head(model)
    wanted = options.calib_images + options.held_out
    batches = list(photos.calibration(wanted, options.seed))
    found = sum(map(len, batches))
    if found < 2:
        raise DataError(
            f"{photos.name}: --max-drop needs at least 2 photos that can be read, one of them to compare program and "
            f"float model on; there are {found}"
        )
    held_out = options.held_out
    if found < wanted:
        held_out = max(found - options.calib_images, found // 2)
        out.warn(
            f"{photos.name}: there are only {found} photos; {held_out} of them are held out for --max-drop"
        )
    pixels = np.concatenate(batches)
    calibration, rest = pixels[:-held_out], pixels[-held_out:]
    result, control = control_accuracy(
        model,
        (calibration, rest),
        config,
        options.max_drop,
        lambda chosen: make(chosen, [calibration]),
        threads=thread_count(options.threads),
        progress=progress,
    )
    if not control.holds:
        most = control.attempts[control.taken]
        out.warn(
            f"--max-drop {options.max_drop:g} does not hold: the best of {len(control.attempts)} program(s) agrees "
            f"with the float model on {most.agreement:g} % of {held_out} held-out photos. Calibrate on more photos of "
            "the kind that the program will see, or allow a larger drop"
        )
    return replace(result, control=control)


def control_record(control: "AccuracyControl | None") -> dict[str, Any] | None:
    """Return the key ``accuracy_control`` of ``p2vit quantize --json``; None without ``--max-drop``."""
    if control is None:
        return None
    taken = control.attempts[control.taken]
    return {
        "max_drop": control.max_drop,
        "holds": control.holds,
        "held_out_images": control.held_out,
        "agreement": taken.agreement,
        "raised": list(taken.raised),
        "attempts": [
            {"raised_layers": len(each.raised), "agreement": each.agreement} for each in control.attempts
        ],
    }
