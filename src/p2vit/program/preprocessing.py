"""The preprocessing of photos. It belongs to the weights, so every program records it."""

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

#: Largest side of a scaled or cropped photo, pixels. Pillow has such a limit too.
LARGEST_SIDE = 1 << 16
Side = Annotated[int, Field(gt=0, le=LARGEST_SIDE)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Interpolation = Literal["bilinear", "bicubic", "nearest", "lanczos", "box", "hamming"]
#: Fields that files omit if they have their defaults, so that programs from before these fields keep their hashes.
LATER = ("scale_to", "convention")


class Preprocessing(BaseModel):
    """The steps from a photo to the uint8 pixels [H, W, 3] that a program takes, with mean and std of the model.

    Resizing happens outside the program. Mean and std are folded into the patch embedding, so the input of a program is
    plain RGB. They are recorded here to compare the program with the float model.

    Attributes:
        image_size: Pixels, (height, width).
        resize: How a photo is scaled. ``squash``: both sides to ``scaled_size``, whatever the aspect ratio. ``crop``:
            with its aspect ratio, until it covers ``scaled_size``. ``cut``: not at all. After each of these, the
            centre is cropped, and pixels outside the photo are black. ``none``: only photos of exactly ``image_size``
            are accepted.
        crop_pct: Share of the scaled photo's side that the centre crop keeps. Only ``crop`` uses it.
        scale_to: Pixels, (height, width), that a photo is scaled to before the centre crop. None means ``image_size``,
            or ``image_size / crop_pct`` for ``crop``.
        convention: Library whose rounding rules apply to the longer side and to an odd margin around the centre.
            ``torchvision`` (also used by timm): the side is rounded down, the margin to the nearest even number.
            ``timm``: for a ``scaled_size`` that is not square, the side is rounded to nearest. ``transformers``: both
            are rounded down.
        interpolation: Resampling filter, with antialiasing when a photo is made smaller.
        rounding: When resampled values are rounded to 8 bits. ``per_pass``: after the horizontal pass and after the
            vertical pass, as Pillow does, which timm and Hugging Face use. ``once``: at the end, as torch's
            antialiased interpolation of floats does. The results differ by one grey level in about every sixth pixel.
        mean: Mean per channel R, G, B, where black is 0 and white is 1.
        std: Standard deviation per channel R, G, B, where black is 0 and white is 1.
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
        """Pixels, (height, width), that a photo is scaled to, or must cover, before the centre crop.

        Values are rounded down, as in the usual pipelines: 224 / 0.9 is 248. A small number is added first, so that a
        ratio such as 518 / (518 / 592) does not lose a pixel by float error.
        """
        if self.scale_to is not None:
            return self.scale_to
        if self.resize != "crop":
            return self.image_size
        height, width = (math.floor(side / self.crop_pct + 1e-6) for side in self.image_size)
        return height, width

    @property
    def in_words(self) -> str:
        """One-line description of the image size and of the steps from a photo to it."""

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
        """Return the preprocessing for another image size. The centre crop keeps the same share of the photo.

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
        """Serialize all fields except those in `LATER` that have their defaults."""
        fields: dict[str, Any] = handler(self)
        defaults = type(self).model_fields
        return {k: v for k, v in fields.items() if k not in LATER or v != defaults[k].default}
