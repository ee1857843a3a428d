"""Photos as they come: every format, every kind of damage, and what is no photo at all."""

import io
import os
import stat
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from p2vit.data import photo_file
from p2vit.data.photo_file import MAX_PIXELS, opened, pixel_limit
from p2vit.data.preprocess import read_pixels
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

# Pillow warns of damaged metadata; the command line keeps that to itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SIDE = 24
PRE = Preprocessing(image_size=(SIDE, SIDE), crop_pct=1.0)


def colours(height=SIDE, width=SIDE, seed=0):
    """A smooth photo that is not grey, not square in content and not symmetric."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def saved(path, image, **options):
    image.save(path, **options)
    return path


#: Ending → (format, options that lose nothing or as little as the format can).
FORMATS = {
    ".png": ("PNG", {}),
    ".bmp": ("BMP", {}),
    ".dib": ("DIB", {}),
    ".ppm": ("PPM", {}),
    ".pnm": ("PPM", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
    ".webp": ("WEBP", {"lossless": True}),
    ".jp2": ("JPEG2000", {}),
    ".j2k": ("JPEG2000", {"no_jp2": True}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"progressive": True}),
    ".jpe": ("JPEG", {"quality": 95}),
    ".jfif": ("JPEG", {"quality": 95}),
    ".gif": ("GIF", {}),
    ".avif": ("AVIF", {"quality": 95}),
}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("named", ["right", "wrong"])
def test_pixels_are_pillows_whatever_the_ending(tmp_path, ending, named):
    kind, options = FORMATS[ending]
    file = saved(tmp_path / "x", colours(), format=kind, **options)
    path = file.rename(tmp_path / (f"x{ending.upper()}" if named == "right" else "x.png"))
    with Image.open(path) as image:
        wanted = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_pixels(path, PRE), wanted)
    assert np.abs(wanted.astype(int) - np.asarray(colours())).mean() < 12


def test_heic_is_read_or_says_what_to_install(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    heif = pillow_heif.from_pillow(colours())
    for name in ("x.heic", "y.HIF", "iphone.jpg"):
        heif.save(tmp_path / name, quality=-1, chroma=444)
        found = read_pixels(tmp_path / name, PRE)
        assert np.abs(found.astype(int) - np.asarray(colours())).mean() < 3
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        DataError, match=r"x\.heic: a HEIC photo, which needs .*'pillow-heif'.*pip install 'p2vit\[heif\]'"
    ):
        read_pixels(tmp_path / "x.heic", PRE)


def test_avif_without_the_decoder_says_what_to_install(tmp_path, monkeypatch):
    path = saved(tmp_path / "x.avif", colours())
    monkeypatch.setattr(photo_file.features, "check", lambda name: name != "avif")

    def unknown(*arguments, **options):
        raise photo_file.UnidentifiedImageError

    monkeypatch.setattr(photo_file.Image, "open", unknown)
    with pytest.raises(
        DataError, match=r"x\.avif: an AVIF photo, which this Pillow cannot read.*pip install -U"
    ):
        read_pixels(path, PRE)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_several_frames_the_first_is_read(tmp_path, kind):
    frames = [colours(seed=seed) for seed in range(3)]
    lossless = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(kind, {})
    path = saved(
        tmp_path / "x.png", frames[0], format=kind, save_all=True, append_images=frames[1:], **lossless
    )
    with Image.open(path) as image:
        assert image.n_frames == 3
        wanted = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_pixels(path, PRE), wanted)
    assert np.abs(wanted.astype(int) - np.asarray(frames[0])).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tiff"])
def test_photos_stand_upright(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"x{ending}", colours(20, 30), exif=exif)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    pre = Preprocessing(image_size=(upright.height, upright.width), crop_pct=1.0)
    assert np.array_equal(read_pixels(path, pre), np.asarray(upright))
    assert (upright.width > upright.height) == (orientation < 5)


def test_transformers_reads_opaque_photos_alike(tmp_path, transformers):
    from transformers.image_utils import load_image

    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        saved(tmp_path / "turned.jpg", colours(), exif=exif),
        saved(tmp_path / "cmyk.jpg", colours().convert("CMYK")),
        saved(tmp_path / "palette.png", colours().quantize(32)),
        saved(tmp_path / "grey.png", colours().convert("L")),
        saved(tmp_path / "one_bit.png", colours().convert("1")),
        saved(tmp_path / "first.gif", colours(), save_all=True, append_images=[colours(seed=1)]),
        saved(tmp_path / "pages.tiff", colours(), save_all=True, append_images=[colours(seed=1)]),
        saved(tmp_path / "lab.tiff", colours().convert("YCbCr").convert("RGB")),
    ]
    for path in files:
        assert np.array_equal(read_pixels(path, PRE), np.asarray(load_image(str(path)))), path.name


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    values = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    wanted = np.floor(values / 65535 * 255 + 0.5).astype(np.uint8)
    for name in ("x.png", "x.tiff", "x.pgm"):
        found = read_pixels(saved(tmp_path / name, Image.fromarray(values)), PRE)
        assert np.array_equal(found, np.repeat(wanted[..., None], 3, axis=2)), name


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(tmp_path, mode):
    image = colours().convert("RGBA")
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[:, SIDE // 2 :] = 255
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        image = colours().quantize(16)
        path = saved(tmp_path / "x.png", image, transparency=3)
        clear = np.asarray(image) == 3
    else:
        path = saved(tmp_path / "x.png", image.convert(mode))
        clear = alpha == 0
    found = read_pixels(path, PRE)
    assert (found[clear] == 255).all()
    with Image.open(path) as opaque:
        assert np.array_equal(found[~clear], np.asarray(opaque.convert("RGBA"))[..., :3][~clear])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (9, 1), (2, 2000)])
@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".webp", ".gif"])
def test_photos_of_one_pixel_have_pixels(tmp_path, height, width, ending):
    path = saved(tmp_path / f"x{ending}", Image.new("RGB", (width, height), (9, 99, 199)))
    found = read_pixels(path, PRE)
    assert found.shape == (SIDE, SIDE, 3)
    assert np.abs(found.astype(int) - (9, 99, 199)).max() < 12


# Sizes.


def test_a_photo_above_the_limit_says_which_option_allows_it(tmp_path):
    path = saved(tmp_path / "x.png", Image.new("1", (40, 30)))
    with pixel_limit(1199), pytest.raises(DataError) as refused:
        read_pixels(path, PRE)
    assert str(refused.value) == (
        f"{path}: has 1,200 pixels, but at most 1,199 are allowed; "
        "if there is enough memory, allow more with --max-pixels"
    )
    with pixel_limit(1200):
        assert read_pixels(path, PRE).shape == (SIDE, SIDE, 3)


def test_a_bomb_is_refused_and_can_be_allowed(tmp_path):
    side = int((2 * MAX_PIXELS) ** 0.5)
    path = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"bomb\.png: .*at most 178,956,970 are allowed; .* --max-pixels"):
        read_pixels(path, PRE)
    before = Image.MAX_IMAGE_PIXELS
    with pixel_limit(side * side), opened(path) as image:
        assert image.size == (side, side)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_strip_that_would_become_a_bomb_is_refused(tmp_path):
    path = saved(tmp_path / "strip.png", Image.new("L", (65000, 1)))
    assert read_pixels(path, Preprocessing(image_size=(224, 224))).shape == (
        224,
        224,
        3,
    )  # squashed, it is small
    pre = Preprocessing(image_size=(224, 224), resize="crop")
    with pytest.raises(
        DataError, match=r"strip\.png: would be scaled to [\d,]+ pixels, but at most 178,956,970"
    ):
        read_pixels(path, pre)


# What is no photo.


def test_things_that_are_no_files_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "round.png").symlink_to("round.png")
    (tmp_path / "empty.png").touch()
    for name, reason in {
        "pipe.png": "a named pipe, not a photo",
        "folder.png": "a folder, not a photo",
        "gone.png": "a broken link to nowhere.png",
        "round.png": "Too many levels of symbolic links",
        "empty.png": "empty, 0 bytes",
        "not here.png": "no such file",
        "n" * 300 + ".png": "File name too long",
        "/dev/null": "a device, not a photo",
    }.items():
        with pytest.raises(DataError) as refused:
            read_pixels(tmp_path / name, PRE)
        assert str(refused.value) == f"{tmp_path / name}: {reason}"
    assert stat.S_ISFIFO((tmp_path / "pipe.png").stat().st_mode)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a photo at all", "not a photo, or damaged so that its format is unknown"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid x",
            "a pointer of Git LFS, not the photo; fetch it with: git lfs pull",
        ),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>", "a web page, not a photo"),
        (b'<svg xmlns="x">', r"a drawing (SVG), not a photo; convert it to PNG first"),
        (b"%PDF-1.7", "a PDF, not a photo; convert its pages to PNG first"),
        (b"PK\x03\x04....", "a ZIP archive, not a photo"),
        (b"\xff\x0a" + bytes(20), "a JPEG XL, which is not supported; convert it to PNG or JPEG first"),
    ],
)
def test_what_is_often_found_under_a_photos_name(tmp_path, content, reason):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_pixels(tmp_path / "x.jpg", PRE)
    assert str(refused.value) == f"{tmp_path / 'x.jpg'}: {reason}"


def test_a_cameras_raw_data_is_not_its_thumbnail(tmp_path):
    path = saved(tmp_path / "x.tif", colours())
    path = path.rename(tmp_path / "x.NEF")  # Pillow would open what is in it
    with pytest.raises(DataError, match="a camera's raw data, which has no defined look"):
        read_pixels(path, PRE)


def tried(path):
    """(pixels, None), or (None, why not)."""
    try:
        return read_pixels(path, PRE), None
    except DataError as error:
        return None, str(error)


def encoded():
    content = {}
    for ending, (kind, options) in FORMATS.items():
        buffer = io.BytesIO()
        colours().save(buffer, format=kind, **options)
        content[ending] = buffer.getvalue()
    return content


ENCODED = encoded()


@pytest.mark.parametrize("ending", sorted(ENCODED))
def test_a_cut_off_photo_is_refused_or_whole(tmp_path, ending):
    content = ENCODED[ending]
    path = tmp_path / f"x{ending}"
    path.write_bytes(content)
    whole = read_pixels(path, PRE)
    refused = 0
    for length in sorted({*range(1, 40), *np.linspace(1, len(content) - 1, 60).astype(int).tolist()}):
        path.write_bytes(content[:length])
        found, reason = tried(path)
        refused += found is None
        if found is not None:
            assert np.array_equal(found, whole), f"{length} of {len(content)} bytes gave other pixels"
        else:
            assert reason.startswith(f"{path}: ")
    assert refused > 30


@given(
    st.sampled_from(sorted(ENCODED)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_damaged_photo_is_a_photo_or_a_message(tmp_path_factory, ending, changes):
    content = bytearray(ENCODED[ending])
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    path = tmp_path_factory.mktemp("damaged") / f"x{ending}"
    path.write_bytes(content)
    with pixel_limit(1_000_000):
        found, reason = tried(path)
    if found is not None:
        assert found.shape == (SIDE, SIDE, 3)
    else:
        assert reason.startswith(f"{path}: ")
        assert "\n" not in reason
