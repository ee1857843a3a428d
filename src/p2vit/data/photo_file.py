"""Open a photo file: check that it is a regular file of a supported format and not too large."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError, features

from p2vit.data.find import FOREIGN
from p2vit.errors import DataError, first_line

#: Largest photo that is read without --max-pixels, pixels. A file of a few kilobytes can expand to gigabytes. It is
#: also the limit of Pillow.
MAX_PIXELS = 178_956_970
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: First bytes of files that often have a photo's name → what the file is.
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
    """Set the largest allowed photo of this process while the context is open.

    Args:
        pixels: Width × height. If necessary, Pillow's limit is raised too.
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
    """Open a photo file. Exceptions while it is decoded become errors that name the file.

    Only a regular file is opened, because a pipe could block for ever.

    Args:
        path: The file.

    Yields:
        The photo as a Pillow image; the first one of an animation or of several pages.

    Raises:
        DataError: The file cannot be read. The message names the file and the reason.
    """
    check_regular(path)
    if (reason := FOREIGN.get(path.suffix.lower())) is not None:
        raise DataError(f"{path}: {reason}")
    try:
        with decoded(path) as image:
            yield image
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


@contextmanager
def decoded(source: Path | BytesIO, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """Open a photo from a file or from bytes. Exceptions while it is decoded become errors that give the reason.

    Args:
        source: A regular file, or bytes.
        formats: Names of Pillow's formats that are allowed; None allows all.

    Yields:
        The photo as a Pillow image; the first one of an animation or of several pages.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with _open(source, formats) as image:
            check_size(image.width * image.height)
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{_too_large()} ({error})") from None
    except MemoryError:
        raise DataError("not enough memory to decode it") from None
    except Exception as error:  # Pillow's decoders may raise any exception for damaged files
        raise DataError(first_line(error)) from None


def check_there(path: Path) -> os.stat_result:
    """Check that a path exists, and return its status.

    Raises:
        DataError: The path does not exist or is a broken link.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError(f"{path}: a broken link to {path.readlink()}") from None
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def check_regular(path: Path) -> None:
    """Check that a path is a regular file and not empty, without opening it.

    Raises:
        DataError: It is something else. The message says what.
    """
    found = check_there(path)
    if not stat.S_ISREG(found.st_mode):
        what = _SPECIAL.get(stat.S_IFMT(found.st_mode), "a special file")
        raise DataError(f"{path}: {what}, not a photo")
    if not found.st_size:
        raise DataError(f"{path}: empty, 0 bytes")


def check_size(pixels: int, what: str = "has") -> None:
    """Check that a photo is not too large.

    Args:
        pixels: Width × height.
        what: Verb of the message.

    Raises:
        DataError: The photo is too large. The message names the option that allows it.
    """
    if pixels > _limit:
        raise DataError(f"{what} {pixels:,} pixels, but {_too_large()}")


def _too_large() -> str:
    return f"at most {_limit:,} are allowed; if there is enough memory, allow more with --max-pixels"


def _head(source: Path | BytesIO) -> bytes:
    if isinstance(source, BytesIO):
        return bytes(source.getbuffer()[:32])
    with source.open("rb") as file:
        return file.read(32)


def _open(source: Path | BytesIO, formats: tuple[str, ...] | None) -> Image.Image:
    """Open a file in any supported format.

    Raises:
        DataError: The file has another format. The message says which, as far as the first bytes show.
    """
    head = _head(source)
    if formats is None and head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        _heif()
    try:
        return Image.open(source, formats=formats)
    except UnidentifiedImageError:
        pass
    if head[4:12] in (b"ftypavif", b"ftypavis") and not features.check("avif"):
        raise DataError(
            "an AVIF photo, which this Pillow cannot read; update it: pip install -U 'pillow>=11.3'"
        )
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for known, what in _NO_PHOTOS:
        if start.startswith(known) or head.startswith(known):
            raise DataError(what)
    allowed = f"; allowed formats are {', '.join(formats)}" if formats else ""
    raise DataError(f"not a photo, or damaged so that its format is unknown{allowed}")


def _heif() -> None:
    """Register the HEIC decoder with Pillow.

    Raises:
        DataError: The package ``pillow-heif`` is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise DataError(
            "a HEIC photo, which needs the package 'pillow-heif'. Install it with: pip install 'p2vit[heif]'"
        ) from None
    register_heif_opener()
