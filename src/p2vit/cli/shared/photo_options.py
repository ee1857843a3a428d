"""Options that the verbs which read photos share."""

from pathlib import Path

import click

from p2vit.workflows.photo_limit import MAX_PIXELS, pixel_limit


def _limit(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    """Hold the limit as long as the verb runs; it is Pillow's and so the whole process's."""
    if value is not None:
        context.with_resource(pixel_limit(value))


max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    expose_value=False,
    callback=_limit,
    help=f"Read photos of up to N pixels (width x height). Default: {MAX_PIXELS:,}.",
)
class_names_option = click.option(
    "--class-names",
    metavar="FILE|A,B,C",
    help="Names of the outputs in their order: a file with one per line, or names between commas.",
)
class_index_option = click.option(
    "--class-index",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Names of the outputs from a class-index file, as eval takes it.",
)
