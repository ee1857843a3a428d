"""The largest photo that is read, for whoever sets it: the command line for a verb."""

from p2vit.data.photo_file import MAX_PIXELS, pixel_limit

__all__ = ["MAX_PIXELS", "pixel_limit"]
