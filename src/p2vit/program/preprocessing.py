"""What is done to a photo before the program sees it: it belongs to the weights, so it travels with them."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Side = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocessing(BaseModel):
    """From a photo to the uint8 pixels [H, W, 3] that a program takes, and what mean and std it folds in.

    The resize happens outside the program. Mean and std are folded into the patch embedding, so a program's
    input is plain RGB; they are kept here for whoever compares with the float model.

    Attributes:
        image_size: Pixels, (height, width).
        resize: ``squash`` goes straight to ``image_size``, whatever the photo's shape; ``crop`` keeps the
            shape: the photo is scaled until it covers ``image_size / crop_pct``, then its centre is cut out.
        crop_pct: Share of the scaled photo's side that the centre crop keeps; only read by ``crop``.
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
    resize: Literal["squash", "crop"] = "squash"
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    rounding: Literal["per_pass", "once"] = "per_pass"
    mean: tuple[Finite, Finite, Finite] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD

    @property
    def scaled_size(self) -> tuple[int, int]:
        """Pixels (height, width) that a photo is scaled to cover before the crop.

        Rounded down, as the pipelines do that published accuracies come from: 224 / 0.9 is 248. The small
        number keeps a ratio such as 518 / (518 / 592) from losing a pixel to float error.
        """
        if self.resize == "squash":
            return self.image_size
        height, width = (math.floor(side / self.crop_pct + 1e-6) for side in self.image_size)
        return height, width
