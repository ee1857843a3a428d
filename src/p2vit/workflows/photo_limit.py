"""How large a photo may be, for every verb that reads photos."""

from p2vit.data.photo_file import MAX_PIXELS, pixel_limit

__all__ = ["MAX_PIXELS", "pixel_limit"]
