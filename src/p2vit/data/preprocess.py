"""Convert a photo to the uint8 pixels that a model takes, with Pillow only."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from p2vit.data.photo_file import check_size, opened
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def to_pixels(image: Image.Image, pre: Preprocessing) -> NDArray[np.uint8]:
    """Convert a photo to a model's input.

    The conversion is defined for every kind of photo:

    * The EXIF orientation is applied, so that a photo is upright as in a viewer.
    * Grey (1 bit, 8 bit) is repeated in three channels.
    * 16-bit grey is scaled to 8 bit by 255/65535 and rounded, not clipped.
    * Transparent photos (RGBA, grey with alpha, palette with a transparent entry) are composed with white, as in a
      viewer. The colours of transparent pixels never reach the model.
    * Pillow converts palette, CMYK, YCbCr, LAB and HSV to RGB.
    * Float photos are refused, because their range is unknown.

    Args:
        image: Any photo that Pillow opens.
        pre: Preprocessing of the model.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        DataError: The photo's mode is not supported, or its size is wrong and the preprocessing does not resize.
    """
    rgb = to_rgb(ImageOps.exif_transpose(image))
    if pre.resize == "none":
        if (rgb.height, rgb.width) != pre.image_size:
            raise DataError(
                f"is {rgb.height} x {rgb.width} pixels (height x width), but must be {pre.image_size[0]} x "
                f"{pre.image_size[1]}, because the model's preprocessing does not resize"
            )
        return np.array(rgb)
    if pre.resize == "squash":
        rgb = _scaled(rgb, *pre.scaled_size, pre)
    elif pre.resize == "crop":
        rgb = _scaled(rgb, *_covering(rgb.height, rgb.width, pre), pre)
    return np.array(_centre(rgb, pre))


def read_pixels(path: Path, pre: Preprocessing) -> NDArray[np.uint8]:
    """Read one photo file.

    Args:
        path: The file; see `p2vit.data.photo_file.opened` for the formats.
        pre: Preprocessing of the model.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        DataError: The photo cannot be read. The message names the file and the reason.
    """
    with opened(path) as image:
        return to_pixels_of(image, pre)


def to_pixels_of(image: Image.Image, pre: Preprocessing) -> NDArray[np.uint8]:
    """Convert an opened photo as `to_pixels` does, after a check of the size that it is scaled to.

    Raises:
        DataError: It would become too large, or as `to_pixels`.
    """
    if pre.resize == "crop":
        # A very narrow photo becomes huge when its shorter side is scaled to the model's size.
        long, short = max(image.size), max(1, min(image.size))
        check_size(long * max(pre.scaled_size) ** 2 // short, "would be scaled to")
    return to_pixels(image, pre)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit RGB, as `to_pixels` defines it.

    Args:
        image: Any photo, already upright.

    Returns:
        The photo in mode RGB.

    Raises:
        DataError: The mode is not supported.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise DataError("a float photo (mode F) has no defined range; convert it to 8 or 16 bit first")
    if image.has_transparency_data:
        upper = image.convert("RGBA")
        white = Image.new("RGBA", upper.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, upper).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (Pillow modes I;16*, or I) to 8 bit. The rounding is exact, because 65535 = 255 · 257."""
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise DataError(f"grey values {values.min()}..{values.max()} are outside 16 bit (0..65535)")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _covering(height: int, width: int, pre: Preprocessing) -> tuple[int, int]:
    """Return the smallest (height, width) with the photo's aspect ratio that covers ``pre.scaled_size``."""
    cover_height, cover_width = pre.scaled_size
    if pre.convention == "timm" and cover_height != cover_width:
        ratio = min(height / cover_height, width / cover_width)
        return round(height / ratio), round(width / ratio)
    if height * cover_width <= width * cover_height:  # a wide photo: the height decides
        return cover_height, max(cover_width, cover_height * width // height)
    return max(cover_height, cover_width * height // width), cover_width


def _centre(image: Image.Image, pre: Preprocessing) -> Image.Image:
    """Crop the centre. Pixels outside the photo are black."""
    height, width = pre.image_size
    if image.size == (width, height):
        return image
    top, left = (
        _margin(side - wanted, pre) for side, wanted in ((image.height, height), (image.width, width))
    )
    return image.crop((left, top, left + width, top + height))


def _margin(spare: int, pre: Preprocessing) -> int:
    """Return the margin before the centre crop, in pixels.

    Args:
        spare: Pixels of the side minus pixels of the crop; negative if the photo is too small.
        pre: Preprocessing of the model; its convention decides the rounding.
    """
    if pre.convention == "transformers":
        return spare // 2
    return -(-spare // 2) if spare < 0 else round(spare / 2)


def _scaled(image: Image.Image, height: int, width: int, pre: Preprocessing) -> Image.Image:
    """Resample RGB to (height, width) with antialiasing. A photo of that size is returned unchanged."""
    kernel = FILTERS[pre.interpolation]
    if image.size == (width, height):
        return image
    if pre.rounding == "per_pass" or pre.interpolation == "nearest":
        return image.resize((width, height), kernel)
    bands = [band.convert("F").resize((width, height), kernel) for band in image.split()]
    exact = np.stack([np.asarray(band) for band in bands], axis=-1)
    return Image.fromarray(np.rint(exact).clip(0, 255).astype(np.uint8))
