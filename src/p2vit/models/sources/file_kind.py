"""Tell the format of a weight file from its first bytes; its name is ignored."""

import stat
import zipfile
from pathlib import Path
from typing import Literal

from p2vit.errors import ModelError

FileKind = Literal["safetensors", "zip", "pickle"]

HOW_TO_SAVE = (
    "save the state dict alone: torch.save(model.state_dict(), 'weights.pth'), or better as .safetensors"
)
#: First bytes of files that users often mistake for weight files → what the file is, and what to do.
OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'"),
    (b"<", "a web page, not weights; download the file itself"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard; unpack it first"),
    (b"\x89HDF", f"an HDF5 file (Keras); load it with its own library and {HOW_TO_SAVE}"),
    (b"\x93NUMPY", f"a NumPy array; {HOW_TO_SAVE}"),
    (b"GGUF", f"a GGUF file; load it with its own library and {HOW_TO_SAVE}"),
    (b"{", "JSON, not weights; name the file that contains the tensors, or the folder with both"),
)


def file_kind(path: Path) -> FileKind:
    """Tell the format of a weight file.

    Args:
        path: The file.

    Returns:
        ``safetensors``, ``zip`` (torch's format since 1.6) or ``pickle`` (torch's older format).

    Raises:
        ModelError: The file is missing, cannot be read, or has another format. The message says which.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ModelError(f"{path}: not a regular file, so it cannot be a weight file")
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not start:
        raise ModelError(f"{path}: empty, not a weight file")
    header = int.from_bytes(start[:8], "little")
    if len(start) > 8 and start[8:9] == b"{" and 2 <= header <= about.st_size - 8:
        return "safetensors"
    if start[:4] == b"PK\x03\x04":
        _check_zip(path)
        return "zip"
    if start[:1] == b"\x80":
        return "pickle"
    for mark, what in OTHERS:
        if start.lstrip().startswith(mark):
            raise ModelError(f"{path}: {what}")
    if start[257:262] == b"ustar":
        raise ModelError(f"{path}: a tar archive; unpack it first, and name the weight file in it")
    raise ModelError(
        f"{path}: not a weight file (safetensors or torch's format), or damaged; it begins with {start[:12]!r}. "
        "Download or save it again"
    )


def _check_zip(path: Path) -> None:
    """Refuse zip archives that torch did not write as a checkpoint."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise ModelError(f"{path}: damaged or cut off; download or save it again") from None
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise ModelError(
            f"{path}: a TorchScript archive, which is code; load it with torch.jit.load and {HOW_TO_SAVE}"
        )
    if any(name.endswith(".npy") for name in names):
        raise ModelError(
            f"{path}: a NumPy archive (.npz); convert it to a torch state dict and {HOW_TO_SAVE}"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise ModelError(f"{path}: a zip archive that torch did not write; unpack it first")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelError(
            f"{path}: a compressed zip archive, which torch does not write; unpack it, or {HOW_TO_SAVE}"
        )
