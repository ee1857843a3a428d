"""Override fields of a preprocessing, as timm's configurations and the command line state them."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import ValidationError

from p2vit.errors import ModelError
from p2vit.program.preprocessing import LARGEST_SIDE, Interpolation, Preprocessing

CropMode = Literal["center", "squash"]


def override_preprocessing(
    pre: Preprocessing,
    *,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    crop_pct: float | None = None,
    crop_mode: CropMode | None = None,
    interpolation: Interpolation | None = None,
) -> Preprocessing:
    """Replace the given fields of a preprocessing; they have timm's meaning.

    Args:
        pre: The preprocessing; fields that are None keep its values.
        mean: Mean per channel R, G, B, or one for all, where black is 0 and white is 1.
        std: Standard deviation per channel R, G, B, or one for all, where black is 0 and white is 1.
        crop_pct: Share of the scaled photo's side that the centre crop keeps, above 0 and at most 1.
        crop_mode: ``center`` scales the shorter side and crops the centre; ``squash`` scales both sides.
        interpolation: Resampling filter.

    Returns:
        The new preprocessing.

    Raises:
        ModelError: A value is not allowed. The message names the option.
    """
    changes: dict[str, Any] = {}
    if mean is not None:
        changes["mean"] = _channels(mean)
    if std is not None:
        changes["std"] = _channels(std)
    if interpolation is not None:
        changes["interpolation"] = interpolation
    if crop_pct is not None and not 0 < crop_pct <= 1:
        raise ModelError(f"--crop-pct {crop_pct:g}: must be above 0 and at most 1")
    if crop_pct is not None and max(pre.image_size) / crop_pct > LARGEST_SIDE:
        raise ModelError(
            f"--crop-pct {crop_pct:g}: photos would be scaled to more than {LARGEST_SIDE} pixels; use a larger value, "
            "such as 0.9"
        )
    if crop_mode is not None and crop_mode not in get_args(CropMode):
        raise ModelError(f"--crop-mode {crop_mode}: only {' and '.join(get_args(CropMode))} are supported")
    if crop_pct is not None or crop_mode is not None:
        squash = crop_mode == "squash" if crop_mode else pre.resize == "squash"
        share = crop_pct if crop_pct is not None else _share(pre)
        changes |= scaled(pre.image_size, share, squash=squash)
    try:
        return Preprocessing.model_validate(pre.model_copy(update=changes).__dict__)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ModelError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None


def scaled(image_size: tuple[int, int], crop_pct: float, *, squash: bool) -> dict[str, Any]:
    """Return the fields of a `Preprocessing` for timm's crop modes ``squash`` and ``center``.

    Args:
        image_size: Pixels of the model's input, (height, width).
        crop_pct: Share of the scaled side that the crop keeps.
        squash: Whether both sides are scaled; otherwise the shorter one is.
    """
    height, width = (math.floor(side / crop_pct) for side in image_size)
    if squash:
        whole = (height, width) == image_size
        return {
            "resize": "squash",
            "crop_pct": 1.0,
            "scale_to": None if whole else (height, width),
            "convention": "torchvision",
        }
    fields: dict[str, Any] = {"resize": "crop", "crop_pct": crop_pct, "scale_to": None}
    fields["convention"] = "torchvision" if height == width else "timm"
    usual = Preprocessing(image_size=image_size, resize="crop", crop_pct=crop_pct)
    if usual.scaled_size != (height, width):
        fields["scale_to"] = (height, width)
    return fields


def _channels(value: Sequence[float] | float) -> tuple[float, ...]:
    """Return one number per channel."""
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(value)


def _share(pre: Preprocessing) -> float:
    """Return the share of the scaled height that the crop keeps."""
    if pre.resize == "crop" and pre.scale_to is None:
        return pre.crop_pct
    return min(1.0, pre.image_size[0] / pre.scaled_size[0])
