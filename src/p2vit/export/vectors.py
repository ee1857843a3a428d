"""``vectors``: golden vectors of a program, for people who write firmware or RTL.

A folder with a manifest, the parameters of every node and every tensor of a few images, as ``.npy`` or
as text that ``$readmemh`` and C parsers read.
"""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from p2vit import __version__
from p2vit.engine.executor import Executor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram

Encoding = Literal["npy", "hex"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
MANIFEST = "manifest.json"

#: How ``hex`` files are written, recorded in the manifest.
HEX_FORMAT = (
    "one number per line in the array's C order (last axis fastest); two's complement, "
    "most significant digit first, "
    "zero-padded to the storage width: 2 digits for 8 bits, 4 for 16, 8 for 32"
)


def hex_text(array: np.ndarray) -> str:
    """Integers as two's complement hexadecimal, one per line, in C order; see :data:`HEX_FORMAT`."""
    array = np.ascontiguousarray(array)
    digits = 2 * array.dtype.itemsize
    unsigned = array.reshape(-1).view(np.dtype(f"uint{8 * array.dtype.itemsize}"))
    return "".join(f"{value:0{digits}x}\n" for value in unsigned.tolist())


def parse_hex(text: str, dtype: np.dtype | str, shape: tuple[int, ...]) -> IntArray:
    """The array behind :func:`hex_text`."""
    dtype = np.dtype(dtype)
    values = np.array([int(line, 16) for line in text.split()], dtype=f"uint{8 * dtype.itemsize}")
    return values.view(dtype).reshape(shape)


def write_vectors(
    program: IntegerProgram,
    pixels: IntArray,
    folder: Path,
    *,
    encoding: Encoding = "npy",
    executor: Executor | None = None,
    program_sha256: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a program's parameters and every tensor it computes for some images.

    Args:
        program: What to run.
        pixels: uint8 [B, H, W, 3].
        folder: Where to; made if it is not there.
        encoding: ``npy`` or ``hex``.
        executor: Who computes; the reference executor if not given.
        program_sha256: Recorded in the manifest.
        overwrite: Replace the folder.

    Returns:
        The manifest, as written to ``manifest.json``.

    Raises:
        P2vitError: an unknown encoding, a folder in use, or a path that is a file.
    """
    if encoding not in ENCODINGS:
        raise P2vitError(f"encoding is {encoding!r}; allowed are {' and '.join(map(repr, ENCODINGS))}")
    prepare_folder(folder, overwrite)
    executor = executor or ReferenceExecutor(program)
    computed = executor.run(pixels, list(program.tensors)) | {PIXELS: pixels}
    manifest: dict[str, Any] = {
        "format": "p2vit-vectors",
        "version": __version__,
        "program_sha256": program_sha256,
        "images": len(pixels),
        "encoding": encoding,
        "encoding_note": HEX_FORMAT if encoding == "hex" else "NumPy .npy, little-endian, C order",
        "rounding": "every shift rounds half up: (x + 2^(s-1)) >> s",
        "value": "(stored + offset) * 2^exponent",
        "input": PIXELS,
        "output": program.output,
        "tensors": {},
        "nodes": [],
    }
    for name, spec in program.tensors.items():
        entry = write_array(folder, Path("tensors") / name, computed[name], encoding)
        manifest["tensors"][name] = entry | {
            "bits": spec.bits,
            "signed": spec.signed,
            "exponent": spec.exponent.tolist(),
            "offset": np.asarray(spec.offset).tolist(),
        }
    for node in program.nodes:
        manifest["nodes"].append(
            {
                "name": node.name,
                "operator": type(node.operator).__name__,
                "inputs": list(node.inputs),
                "parameters": write_parameters(folder, node.name, node.operator, encoding),
            }
        )
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def write_parameters(folder: Path, node: str, operator: Any, encoding: Encoding) -> dict[str, Any]:
    """Write a node's arrays; what is not an array goes into the manifest as it is."""
    entries: dict[str, Any] = {}
    for field in fields(operator):
        value = getattr(operator, field.name)
        is_array = isinstance(value, np.ndarray)
        entries[field.name] = (
            write_array(folder, Path("weights") / node / field.name, value, encoding) if is_array else value
        )
    return entries


def write_array(folder: Path, stem: Path, array: IntArray, encoding: Encoding) -> dict[str, Any]:
    """Write one array and return its manifest entry: file (relative, with forward slashes), dtype, shape."""
    file = folder / stem.parent / f"{stem.name}.{encoding}"
    file.parent.mkdir(parents=True, exist_ok=True)
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    if encoding == "npy":
        np.save(file, little)
    else:
        file.write_text(hex_text(little), encoding="ascii")
    return {
        "file": file.relative_to(folder).as_posix(),
        "dtype": array.dtype.name,
        "shape": list(array.shape),
    }


def read_vectors(folder: Path) -> tuple[dict[str, Any], dict[str, IntArray]]:
    """The manifest and every tensor of a folder that :func:`write_vectors` wrote.

    Raises:
        P2vitError: the folder holds no manifest.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise P2vitError(
            f"{folder} holds no {MANIFEST}; expected a folder written by: p2vit export --format vectors"
        )
    manifest = json.loads(file.read_text(encoding="utf-8"))
    arrays = {name: read_array(folder, entry) for name, entry in manifest["tensors"].items()}
    return manifest, arrays


def read_array(folder: Path, entry: dict[str, Any]) -> IntArray:
    """One array by its manifest entry."""
    file = folder / entry["file"]
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False)
    return parse_hex(file.read_text(encoding="ascii"), entry["dtype"], tuple(entry["shape"]))


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make an empty folder; with ``overwrite``, in place of vectors written before.

    Raises:
        P2vitError: the path is a file, or a folder with something in it.
    """
    if folder.exists() and not folder.is_dir():
        raise P2vitError(f"{folder} is a file; vectors are written to a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise P2vitError(f"{folder} is not empty; choose another folder or pass --overwrite")
        if not (folder / MANIFEST).is_file():
            raise P2vitError(
                f"{folder} is not empty and holds no vectors ({MANIFEST}), "
                "so it is not replaced; choose another"
            )
        for part in ("tensors", "weights"):
            shutil.rmtree(folder / part, ignore_errors=True)
        (folder / MANIFEST).unlink()
    folder.mkdir(parents=True, exist_ok=True)
