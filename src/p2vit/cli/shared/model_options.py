"""Options that describe a MODEL where its file does not: the fields of `LoadOptions`, the same for every verb."""

from collections.abc import Callable
from typing import Any

import click

from p2vit.text import is_number
from p2vit.workflows.float_model import FILTERS


class ImageSize(click.ParamType):
    """``224`` or ``224x320`` (height x width)."""

    name = "N|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (height, width) in pixels, both above 0."""
        parts = str(value).lower().split("x")
        if len(parts) not in (1, 2) or not all(is_number(part) and int(part) for part in parts):
            self.fail(f"{value!r} is not a size; write 224, or 224x320 for height x width", param, ctx)
        return int(parts[0]), int(parts[-1])


class Channels(click.ParamType):
    """``0.485,0.456,0.406``, or one number for all three channels."""

    name = "R,G,B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        """Return one number for each of red, green and blue."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = [float(part) for part in str(value).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            numbers *= 3
        if len(numbers) != 3:
            self.fail(
                f"{value!r} is not three numbers; write red,green,blue, e.g. 0.485,0.456,0.406", param, ctx
            )
        return numbers[0], numbers[1], numbers[2]


OPTIONS = (
    click.option(
        "--arch",
        help="Architecture of a weight file, as NAME or NAME.TAG; see 'p2vit list'.",
    ),
    click.option("--image-size", type=ImageSize(), help="Input size in pixels. Default: the model's own."),
    click.option(
        "--key", metavar="NAME", help="Entry of the checkpoint to load, if it holds several sets of weights."
    ),
    click.option(
        "--heads",
        type=click.IntRange(1, 4096),
        help="Number of attention heads, if the weight file does not say.",
    ),
    click.option(
        "--pool",
        type=click.Choice(("token", "avg")),
        help="Input of the head, if the file does not say. token: the class token. avg: the mean of the patch tokens.",
    ),
    click.option(
        "--mean", type=Channels(), help="Mean of the normalization, for pixels from 0 (black) to 1 (white)."
    ),
    click.option(
        "--std", type=Channels(), help="Standard deviation of the normalization, on the same scale."
    ),
    click.option(
        "--crop-pct",
        type=float,
        metavar="SHARE",
        help="Part of the resized photo that the crop keeps, e.g. 0.9.",
    ),
    click.option(
        "--crop-mode",
        type=click.Choice(("center", "squash")),
        help="center: resize the shorter side and cut out the centre. squash: resize both sides.",
    ),
    click.option("--interpolation", type=click.Choice(FILTERS), help="Filter for resizing photos."),
    click.option(
        "--no-check",
        "check",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Do not compare the float model with its original library (timm, transformers, torchvision).",
    ),
)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for loading MODEL to a verb."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function
