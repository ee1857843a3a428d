"""One photo file, opened: what may be opened at all, in which formats, and how large it may be."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError, features

from p2vit.data.find import FOREIGN
from p2vit.errors import DataError, first_line

#: Larger photos are refused unless somebody allows them: a file of a few kilobytes can unfold to gigabytes. It is
#: the number above which Pillow refuses, too.
MAX_PIXELS = 178_956_970
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: First bytes of what is often found under a photo's name.
_NO_PHOTOS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the photo; fetch it with: git lfs pull"),
    (b"<!doctype html", "a web page, not a photo"),
    (b"<html", "a web page, not a photo"),
    (b"<svg", "a drawing (SVG), not a photo; convert it to PNG first"),
    (b"<?xml", "an XML file, not a photo"),
    (b"%pdf", "a PDF, not a photo; convert its pages to PNG first"),
    (b"\xff\x0a", FOREIGN[".jxl"]),
    (b"\x00\x00\x00\x0cjxl ", FOREIGN[".jxl"]),
    (b"pk\x03\x04", "a ZIP archive, not a photo"),
)
_limit = MAX_PIXELS


@contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """Allow photos of up to so many pixels, in this whole process.

    Args:
        pixels: Width × height; above Pillow's own limit that is raised, too, and put back afterwards.
    """
    global _limit
    before, of_pillow = _limit, Image.MAX_IMAGE_PIXELS
    _limit = pixels
    if of_pillow is not None:
        Image.MAX_IMAGE_PIXELS = max(of_pillow, pixels)
    try:
        yield
    finally:
        _limit, Image.MAX_IMAGE_PIXELS = before, of_pillow


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a photo file; what is raised while it is decoded becomes a message that names it.

    Only a regular file is opened: a pipe would wait for somebody who writes.

    Args:
        path: Any name.

    Yields:
        The photo as Pillow has it: of an animation or a file of several pages the first one.

    Raises:
        DataError: naming the file and why it cannot be read.
    """
    check_regular(path)
    if (reason := FOREIGN.get(path.suffix.lower())) is not None:
        raise DataError(f"{path}: {reason}")
    try:
        with _open(path) as image:
            check_size(image.width * image.height)
            yield image
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {_too_large()} ({error})") from None
    except MemoryError:
        raise DataError(f"{path}: there is not enough memory to decode it") from None
    except Exception as error:  # Pillow's decoders raise any type on damaged files
        raise DataError(f"{path}: {first_line(error)}") from None


def check_there(path: Path) -> os.stat_result:
    """Refuse a name that leads to nothing.

    Raises:
        DataError: naming it, and where a link leads.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError(f"{path}: a link that leads nowhere, to {path.readlink()}") from None
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def check_regular(path: Path) -> None:
    """Refuse what is no file with something in it, without opening it.

    Raises:
        DataError: naming what it is.
    """
    found = check_there(path)
    if not stat.S_ISREG(found.st_mode):
        what = _SPECIAL.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise DataError(f"{path}: {what}, not a photo")
    if not found.st_size:
        raise DataError(f"{path}: empty, 0 bytes")


def check_size(pixels: int, what: str = "has") -> None:
    """Refuse a photo that is too large.

    Args:
        pixels: Width × height.
        what: The verb of the message.

    Raises:
        DataError: says which option allows it.
    """
    if pixels > _limit:
        raise DataError(f"{what} {pixels:,} pixels, and {_too_large()}")


def _too_large() -> str:
    return f"at most {_limit:,} are read; a larger --max-pixels allows it, and takes the memory"


def _open(path: Path) -> Image.Image:
    """Open a file in one of the formats that can be had here.

    Raises:
        DataError: it is in none of them; says what it is, as far as its first bytes tell.
    """
    with path.open("rb") as file:
        head = file.read(32)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        _heif()
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        pass
    if head[4:12] in (b"ftypavif", b"ftypavis") and not features.check("avif"):
        raise DataError("an AVIF, and this Pillow does not read it; update it: pip install -U 'pillow>=11.3'")
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for known, what in _NO_PHOTOS:
        if start.startswith(known) or head.startswith(known):
            raise DataError(what)
    raise DataError("not a photo, or damaged beyond its header")


def _heif() -> None:
    """Teach Pillow HEIC.

    Raises:
        DataError: the package for it is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise DataError(
            "a HEIC photo, which needs the package 'pillow-heif'. Install it with: pip install 'p2vit[heif]'"
        ) from None
    register_heif_opener()
