import numpy as np
import pytest
from PIL import Image

from p2vit.data.preprocess import read_pixels, to_pixels
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

PRE = Preprocessing(image_size=(16, 16))
rng = np.random.default_rng(0)


def photo(height=16, width=16):
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_same_size_is_untouched():
    image = photo()
    pixels = to_pixels(image, PRE)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I"])
@pytest.mark.parametrize("rounding", ["per_pass", "once"])
def test_every_mode_gives_rgb(mode, rounding):
    image = (
        Image.fromarray(np.full((20, 30), 7, np.uint16)) if mode == "I;16" else photo(20, 30).convert(mode)
    )
    pixels = to_pixels(image, PRE.model_copy(update={"rounding": rounding}))
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8


def test_grey_is_repeated():
    pixels = to_pixels(photo(30, 20).convert("L"), PRE)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 1])
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_16_bit_grey_is_scaled_and_rounded():
    values = np.array([[0, 128, 129, 257, 65535 - 128, 65535]], np.uint16).repeat(16, 0)
    pre = Preprocessing(image_size=(16, 6))
    assert to_pixels(Image.fromarray(values), pre)[0, :, 0].tolist() == [0, 0, 1, 1, 255, 255]


def test_transparency_lies_over_white():
    image = Image.fromarray(np.full((16, 16, 4), (10, 20, 30, 0), np.uint8))
    assert (to_pixels(image, PRE) == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    image = photo()
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.png", PRE), np.asarray(image)[::-1, ::-1])


def test_float_photos_are_refused():
    with pytest.raises(DataError, match="mode F"):
        to_pixels(Image.fromarray(np.zeros((16, 16), np.float32)), PRE)


@pytest.mark.parametrize(("height", "width"), [(40, 20), (20, 40), (16, 17), (3, 500), (500, 3)])
def test_crop_keeps_the_shape_and_takes_the_centre(height, width):
    pre = Preprocessing(image_size=(16, 16), resize="crop", crop_pct=0.8)
    assert to_pixels(photo(height, width), pre).shape == (16, 16, 3)


def test_crop_of_a_covering_photo_is_its_centre():
    image = photo(20, 30)
    pre = Preprocessing(image_size=(16, 16), resize="crop", crop_pct=0.8)
    np.testing.assert_array_equal(to_pixels(image, pre), np.asarray(image)[2:18, 7:23])


def test_rounding_once_equals_torch_on_floats():
    torch = pytest.importorskip("torch")
    image = photo(30, 30)
    pre = Preprocessing(image_size=(22, 22), rounding="once")
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    x = torch.nn.functional.interpolate(x, size=(22, 22), mode="bilinear", antialias=True)
    want = (x[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    difference = np.abs(to_pixels(image, pre).astype(int) - want)
    assert difference.max() <= 1  # a tie that float error breaks the other way
    assert difference.mean() < 0.005


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "cut.png"
    photo(64, 64).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"cut\.png"):
        read_pixels(path, PRE)
    path.write_bytes(b"no photo")
    with pytest.raises(DataError, match="not a photo"):
        read_pixels(path, PRE)
