"""What users may say about a model beside its name: where its file cannot tell, an option settles it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoadOptions:
    """Options of loading a float model, shared by the command line and by Python.

    ``None`` means: take what the source says, or the architecture's usual value.

    Attributes:
        arch: Architecture of a weight file.
        image_size: Pixels, one side or (height, width), another than the model's own.
        seed: Random seed of ``random:ARCH`` weights.
        key: Which entry of a checkpoint file holds the weights, where there are several.
        heads: Attention heads, where a weight file does not say them and no ``arch`` does.
        pool: ``token`` reads the class token, ``avg`` the mean of the patch tokens.
        mean: Per channel R, G, B, where black is 0 and white is 1.
        std: Per channel R, G, B, where black is 0 and white is 1.
        crop_pct: Share of the scaled photo's side that the centre crop keeps, above 0 and at most 1.
        crop_mode: ``center`` scales the shorter side and cuts the centre out; ``squash`` scales both sides.
        interpolation: Resampling filter: ``bilinear``, ``bicubic`` or ``nearest``.
        check: Compare with the original library where that can be imported.
    """

    arch: str | None = None
    image_size: int | tuple[int, int] | None = None
    seed: int = 0
    key: str | None = None
    heads: int | None = None
    pool: Literal["token", "avg"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop_pct: float | None = None
    crop_mode: Literal["center", "squash"] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    check: bool = True
