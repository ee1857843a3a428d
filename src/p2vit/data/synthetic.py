"""Photo set ``none``: synthetic photos for quantizing without any real photo, and for ranges that hold for all kinds.

The photos vary in what makes kinds of photos differ: colour, contrast, flat areas, edges, outlines, texture and
background. They are computed from a seed with integers, so they are the same on every machine.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2vit.data.noise import NoisePhotos
from p2vit.data.source import Pixels
from p2vit.program.preprocessing import Preprocessing

Canvas = NDArray[np.int64]
Random = np.random.Generator

#: Cells per side of the octaves of a fractal texture.
OCTAVES = (2, 4, 8, 16, 32, 64, 128)


class SyntheticPhotos(NoisePhotos):
    """A `PhotoSource` of synthetic photos in turns of eight kinds; see `KINDS`.

    Attributes:
        name: ``none``: no real photo.
        classes: Empty: there are no labels.
        skipped: Always empty.
    """

    def __init__(self, preprocessing: Preprocessing, count: int = 64, seed: int = 0) -> None:
        """Set up the photos; each is made when it is asked for.

        Args:
            preprocessing: Preprocessing of the model; only the image size is used.
            count: Number of photos that `evaluation` goes through.
            seed: Random seed of the evaluation photos.
        """
        super().__init__(preprocessing, count, seed)
        self.name = "none"

    def _photo(self, seed: int, stream: int, index: int) -> Pixels:
        """Make one photo, uint8 [H, W, 3], from its own generator: no photo depends on another."""
        rng = np.random.default_rng((seed, stream, index, len(KINDS)))
        height, width = self.image_size
        canvas = KINDS[index % len(KINDS)](rng, height, width)
        if rng.integers(0, 4) == 0:
            canvas = canvas + rng.integers(-24, 25, canvas.shape)
        return np.clip(canvas, 0, 255).astype(np.uint8)


def outlined_shapes(rng: Random, height: int, width: int) -> Canvas:
    """Draw coloured shapes with black outlines on white, as in drawings and diagrams."""
    return _shapes(rng, height, width, int(rng.integers(3, 12)), background=255, outline=True)


def flat_shapes(rng: Random, height: int, width: int) -> Canvas:
    """Draw coloured shapes on black or white."""
    return _shapes(rng, height, width, int(rng.integers(3, 30)), background=255 * int(rng.integers(0, 2)))


def textured_shapes(rng: Random, height: int, width: int) -> Canvas:
    """Draw many overlapping shapes, flat or textured, as objects cover each other in photos of scenes."""
    return _shapes(rng, height, width, int(rng.integers(20, 60)), texture=_fractal(rng, height, width, 60))


def smooth_texture(rng: Random, height: int, width: int) -> Canvas:
    """Draw clouds: most contrast between large areas."""
    return _stretched(rng, _fractal(rng, height, width, int(rng.integers(40, 95))))


def rough_texture(rng: Random, height: int, width: int) -> Canvas:
    """Draw grain: most contrast between neighbouring pixels."""
    return _stretched(rng, _fractal(rng, height, width, int(rng.integers(70, 130))))


def glyphs(rng: Random, height: int, width: int) -> Canvas:
    """Draw lines of blocky signs, as on a page of text."""
    dark = int(rng.integers(0, 2))
    canvas = np.full((height, width, 3), 0 if dark else 255, np.int64)
    ink = _colour(rng) if rng.integers(0, 2) else np.full(3, 255 if dark else 0)
    unit = max(5, min(height, width) * int(rng.integers(6, 28)) // 224)
    for top in range(unit // 2, height - unit, unit + unit // 2):
        left = unit // 2
        while left + unit < width:
            if rng.integers(0, 6):
                sign = rng.integers(0, 2, (5, 4)).repeat(unit // 5, axis=0).repeat(max(1, unit // 6), axis=1)
                canvas[top : top + len(sign), left : left + sign.shape[1]][sign > 0] = ink
            left += unit
    return canvas


def stripes(rng: Random, height: int, width: int) -> Canvas:
    """Draw stripes or a checkerboard of two colours."""
    (across, down), period = rng.integers(-20, 21, 2), int(rng.integers(2, 60))
    rows, columns = np.mgrid[0:height, 0:width]
    length = max(1, int((across * across + down * down) ** 0.5))
    pattern = ((across * columns + down * rows) // length) % period < period // 2 + 1
    if rng.integers(0, 2):
        pattern ^= ((down * columns - across * rows) // length) % period < period // 2
    return np.where(pattern[..., None], _colour(rng), _colour(rng))


def gradient(rng: Random, height: int, width: int) -> Canvas:
    """Draw a smooth gradient between four colours."""
    corners = np.stack([_colour(rng) for _ in range(4)]).reshape(2, 2, 3)
    return _resized(corners, height, width, Image.Resampling.BILINEAR)


#: Kinds of synthetic photos, in turn.
KINDS: tuple[Callable[[Random, int, int], Canvas], ...] = (
    outlined_shapes,
    smooth_texture,
    textured_shapes,
    glyphs,
    stripes,
    flat_shapes,
    gradient,
    rough_texture,
)


def _resized(values: Canvas, height: int, width: int, how: Image.Resampling) -> Canvas:
    """Enlarge values of 0 to 255, int64 [h, w, 3], to [height, width, 3]."""
    image = Image.fromarray(values.astype(np.uint8))
    return np.asarray(image.resize((width, height), how)).astype(np.int64)


def _colour(rng: Random) -> NDArray[np.int64]:
    """Draw a colour; half of them are corners of the colour cube."""
    colour = rng.integers(0, 256, 3)
    return np.where(rng.integers(0, 2, 3) > 0, 255, 0) if rng.integers(0, 2) else colour


def _fractal(rng: Random, height: int, width: int, rough: int) -> Canvas:
    """Sum octaves of smooth noise, about −128 to 128; each has ``rough`` percent of the weight of the one before."""
    total, weight, weights = np.zeros((height, width, 3), np.int64), 1024, 0
    grey = bool(rng.integers(0, 2))
    for cells in OCTAVES:
        noise = rng.integers(0, 256, (cells, cells, 3))
        if grey and rng.integers(0, 2):
            noise = noise[..., :1].repeat(3, axis=2)
        total += weight * (_resized(noise, height, width, Image.Resampling.BICUBIC) - 128)
        weights += weight
        weight = max(1, weight * rough // 100)
    return total // (weights // 2)


def _stretched(rng: Random, texture: Canvas) -> Canvas:
    """Give a texture a random contrast and mean colour."""
    contrast, mean = int(rng.integers(60, 300)), rng.integers(20, 236, 3)
    return mean + texture * contrast // 100


def _shape(rng: Random, rows: Canvas, columns: Canvas, size: int) -> NDArray[np.bool_]:
    """Draw a disc, a rectangle, a polygon or a bar: bool [H, W]."""
    x, y = columns - rng.integers(0, columns.shape[1]), rows - rng.integers(0, rows.shape[0])
    kind = rng.integers(0, 4)
    if kind == 0:
        return x * x + y * y <= size * size
    if kind == 1:
        across, down = rng.integers(max(1, size // 4), size + 1, 2)
        return (abs(x) <= across) & (abs(y) <= down)
    if kind == 2:
        inside = np.ones((rows.shape[0], columns.shape[1]), bool)
        for _ in range(int(rng.integers(3, 6))):
            a, b = rng.integers(-100, 101, 2)
            inside &= a * x + b * y <= (int((a * a + b * b) ** 0.5) + 1) * size // 2
        return inside
    a, b = rng.integers(-100, 101, 2)
    near = abs(a * x + b * y) <= (int((a * a + b * b) ** 0.5) + 1) * max(1, size // 12)
    return near & (x * x + y * y <= 4 * size * size)


def _eroded(shape: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Take ``by`` pixels off the edge of a shape."""
    inner = shape.copy()
    inner[by:] &= shape[:-by]
    inner[:-by] &= shape[by:]
    inner[:, by:] &= shape[:, :-by]
    inner[:, :-by] &= shape[:, by:]
    return inner


def _shapes(
    rng: Random,
    height: int,
    width: int,
    count: int,
    *,
    background: int | None = None,
    outline: bool = False,
    texture: Canvas | None = None,
) -> Canvas:
    """Draw shapes of random sizes and colours over each other.

    Args:
        rng: Source of chance.
        height: Height in pixels.
        width: Width in pixels.
        count: Number of shapes.
        background: Grey level of the background, 0 to 255; a random colour if None.
        outline: Whether shapes have a black outline.
        texture: Added to half of the shapes, int64 [height, width, 3].
    """
    rows, columns = np.ogrid[0:height, 0:width]
    short = min(height, width)
    canvas = np.empty((height, width, 3), np.int64)
    canvas[:] = _colour(rng) if background is None else background
    for _ in range(count):
        # Small shapes are more frequent: sizes have a density of about 1/size.
        size = 2 + short * 2 // (5 << int(rng.integers(0, 3))) * int(rng.integers(50, 101)) // 100
        shape = _shape(rng, rows, columns, size)
        if outline:
            inner = _eroded(shape, max(1, short // 75))
            canvas[shape] = 0
            shape = inner
        canvas[shape] = _colour(rng)
        if texture is not None and rng.integers(0, 2):
            canvas[shape] += texture[shape]
    return canvas
