"""What is done to a photo before the program sees it: it belongs to the weights, so it travels with them."""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

#: Pixels that a side of a photo may have, scaled or cut: Pillow and the memory of machines take no more.
LARGEST_SIDE = 1 << 16
Side = Annotated[int, Field(gt=0, le=LARGEST_SIDE)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Interpolation = Literal["bilinear", "bicubic", "nearest", "lanczos", "box", "hamming"]
#: Left out of files where they are as they always were: programs made before they existed keep their hashes.
LATER = ("scale_to", "convention")


class Preprocessing(BaseModel):
    """From a photo to the uint8 pixels [H, W, 3] that a program takes, and what mean and std it folds in.

    The resize happens outside the program. Mean and std are folded into the patch embedding, so a program's
    input is plain RGB; they are kept here for whoever compares with the float model.

    Attributes:
        image_size: Pixels, (height, width).
        resize: ``squash`` scales both sides to ``scaled_size``, whatever the photo's shape; ``crop`` keeps the shape:
            the photo is scaled until it covers ``scaled_size``; ``cut`` does not scale. The centre is then cut out,
            with black around a photo that is too small. ``none`` takes photos of exactly ``image_size``.
        crop_pct: Share of the scaled photo's side that the centre crop keeps; only read by ``crop``.
        scale_to: Pixels, (height, width), that a photo is scaled to before its centre is cut out; None for
            ``image_size``, or ``image_size / crop_pct`` in ``crop``.
        convention: Whose rule says how a photo's longer side and an odd margin around the centre are rounded:
            ``torchvision`` (which timm uses too) rounds the side down and the margin to the nearest even number,
            ``timm`` differs where ``scaled_size`` is not square, and rounds the side; ``transformers`` rounds both
            down.
        interpolation: Resampling filter, antialiased when shrinking.
        rounding: When resampled values become 8-bit. ``per_pass`` after the horizontal and again after
            the vertical pass, which is what Pillow does to 8-bit photos, and so what timm and Hugging Face
            evaluate with; ``once`` at the end, which is what torch's antialiased interpolation on floats
            amounts to. They differ by one grey level in about every sixth pixel.
        mean: Per channel R, G, B, where black is 0 and white is 1.
        std: Per channel R, G, B, where black is 0 and white is 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: tuple[Side, Side] = (224, 224)
    resize: Literal["squash", "crop", "cut", "none"] = "squash"
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 1.0
    scale_to: tuple[Side, Side] | None = None
    convention: Literal["torchvision", "timm", "transformers"] = "torchvision"
    interpolation: Interpolation = "bilinear"
    rounding: Literal["per_pass", "once"] = "per_pass"
    mean: tuple[Finite, Finite, Finite] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD

    @model_validator(mode="after")
    def _can_be_scaled(self) -> "Preprocessing":
        if max(self.scaled_size) > LARGEST_SIDE:
            height, width = self.scaled_size
            raise ValueError(
                f"crop_pct {self.crop_pct:g} would scale photos to {height} × {width} pixels; a side has at most "
                f"{LARGEST_SIDE}"
            )
        return self

    @property
    def scaled_size(self) -> tuple[int, int]:
        """Pixels (height, width) that a photo is scaled to, or to cover, before its centre is cut out.

        Rounded down, as the pipelines do that published accuracies come from: 224 / 0.9 is 248. The small
        number keeps a ratio such as 518 / (518 / 592) from losing a pixel to float error.
        """
        if self.scale_to is not None:
            return self.scale_to
        if self.resize != "crop":
            return self.image_size
        height, width = (math.floor(side / self.crop_pct + 1e-6) for side in self.image_size)
        return height, width

    @property
    def in_words(self) -> str:
        """The pixels that the program takes, and how a photo becomes them, in one line for people."""

        def size(pair: tuple[int, int]) -> str:
            return f"{pair[0]} × {pair[1]}"

        steps = f"{size(self.image_size)}; "
        if self.resize == "none":
            return steps + "not resized: photos of other sizes are refused"
        if self.resize == "cut":
            return steps + "not resized, its centre"
        if self.resize == "crop":
            return steps + f"resized to cover {size(self.scaled_size)}, {self.interpolation}, then its centre"
        if self.scaled_size == self.image_size:
            return steps + f"resized to that whatever the shape, {self.interpolation}"
        return (
            steps
            + f"resized to {size(self.scaled_size)} whatever the shape, {self.interpolation}, then its centre"
        )

    def for_size(self, image_size: tuple[int, int]) -> "Preprocessing":
        """The same for photos of another size; the centre crop keeps its share.

        Args:
            image_size: Pixels, (height, width).
        """
        if image_size == self.image_size:
            return self
        changes: dict[str, Any] = {"image_size": image_size}
        if self.scale_to is not None:
            changes["scale_to"] = tuple(
                max(1, scaled * new // old)
                for scaled, old, new in zip(self.scale_to, self.image_size, image_size, strict=True)
            )
        return self.model_copy(update=changes)

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """All fields, but for later ones at their defaults."""
        fields: dict[str, Any] = handler(self)
        defaults = type(self).model_fields
        return {k: v for k, v in fields.items() if k not in LATER or v != defaults[k].default}
