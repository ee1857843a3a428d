"""The limit on the size of photos, for the command line."""

from p2vit.data.photo_file import MAX_PIXELS, pixel_limit

__all__ = ["MAX_PIXELS", "pixel_limit"]
