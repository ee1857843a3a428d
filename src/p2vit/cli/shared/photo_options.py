"""Options of the verbs that read photos."""

from pathlib import Path

import click

from p2vit.workflows.photo_limit import MAX_PIXELS, pixel_limit


def _limit(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    """Set Pillow's limit, which is global to the process, for as long as the verb runs."""
    if value is not None:
        context.with_resource(pixel_limit(value))


max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    expose_value=False,
    callback=_limit,
    help=f"Largest photo to read, in pixels (width x height). Default: {MAX_PIXELS:,}.",
)
class_names_option = click.option(
    "--class-names",
    metavar="FILE|A,B,C",
    help="Names of the model's outputs, in order: a file with one name per line, or names separated by commas.",
)
class_index_option = click.option(
    "--class-index",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Class-index file with the names of the model's outputs, as in eval.",
)
