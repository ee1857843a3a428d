"""What users may state about a MODEL beside its name: the options of `LoadOptions`, the same for every verb."""

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
        """Two numbers above 0."""
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
        """Three numbers."""
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
        help="Architecture of a weight file, or ARCHITECTURE.TAG; 'p2vit list' names them.",
    ),
    click.option("--image-size", type=ImageSize(), help="Another than the model's own."),
    click.option(
        "--key", metavar="NAME", help="Which entry of a checkpoint holds the weights, where several do."
    ),
    click.option(
        "--heads", type=click.IntRange(1, 4096), help="Attention heads, where a weight file does not say."
    ),
    click.option(
        "--pool",
        type=click.Choice(("token", "avg")),
        help="What the output reads, where the file cannot tell: the class token, or the mean of the patches.",
    ),
    click.option("--mean", type=Channels(), help="Of the normalisation; black is 0, white is 1."),
    click.option("--std", type=Channels(), help="Of the normalisation; black is 0, white is 1."),
    click.option(
        "--crop-pct", type=float, metavar="SHARE", help="Share of the scaled side that the crop keeps."
    ),
    click.option(
        "--crop-mode",
        type=click.Choice(("center", "squash")),
        help="center scales the shorter side and cuts the centre out; squash scales both sides.",
    ),
    click.option("--interpolation", type=click.Choice(FILTERS), help="Filter that resizes photos."),
    click.option(
        "--no-check",
        "check",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Do not compare with the original library (timm, transformers, torchvision).",
    ),
)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of loading its MODEL."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function
