"""``vectors``: test vectors of a program, for engineers who write firmware or RTL.

A folder with a manifest, the parameters of every node, and every tensor of a few images. Arrays are ``.npy`` files, or
text that ``$readmemh`` and C parsers can read.
"""

import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.files import FileSet, Stage, kind_of, unfinished_sets
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram
from p2vit.version import __version__

Encoding = Literal["npy", "hex"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
MANIFEST, FORMAT = "manifest.json", "p2vit-vectors"

#: Description of ``hex`` files, recorded in the manifest.
HEX_FORMAT = (
    "one number per line in the array's C order (last axis fastest); two's complement, "
    "most significant digit first, "
    "zero-padded to the storage width: 2 digits for 8 bits, 4 for 16, 8 for 32"
)


def hex_text(array: np.ndarray) -> str:
    """Format integers as two's complement hexadecimal, one per line, in C order; see :data:`HEX_FORMAT`."""
    array = np.ascontiguousarray(array)
    digits = 2 * array.dtype.itemsize
    unsigned = array.reshape(-1).view(np.dtype(f"uint{8 * array.dtype.itemsize}"))
    return "".join(f"{value:0{digits}x}\n" for value in unsigned.tolist())


def parse_hex(text: str, dtype: np.dtype | str, shape: tuple[int, ...]) -> IntArray:
    """Read the text of :func:`hex_text` as an array of a dtype and shape."""
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
        program: The program to run.
        pixels: Photos, uint8 [B, H, W, 3].
        folder: Output folder; it must be empty, or contain vectors that p2vit wrote.
        encoding: ``npy`` or ``hex``.
        executor: Executor that computes the tensors; None uses the reference.
        program_sha256: Hash of the program, recorded in the manifest.
        overwrite: Replace vectors that p2vit wrote there.

    Returns:
        The manifest, as written to ``manifest.json``.

    Raises:
        P2vitError: The encoding is unknown, the folder is in use or is a file, or the disk is full.
    """
    if encoding not in ENCODINGS:
        raise P2vitError(f"encoding is {encoding!r}; allowed are {' and '.join(map(repr, ENCODINGS))}")
    target = vectors_target(folder, overwrite)
    target.check()
    executor = executor or ReferenceExecutor(program)
    computed = executor.run(pixels, list(program.tensors)) | {PIXELS: pixels}
    manifest: dict[str, Any] = {
        "format": FORMAT,
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
    if program.maps:
        manifest["maps"] = [
            {"name": each.name, "grid": list(each.grid), "first": each.first} for each in program.maps
        ]
    with target.stage() as stage:
        for name, spec in program.tensors.items():
            entry = write_array(stage, Path("tensors") / name, computed[name], encoding)
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
                    "parameters": write_parameters(stage, node.name, node.operator, encoding),
                }
            )
        stage.write(MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def write_parameters(stage: Stage, node: str, operator: Any, encoding: Encoding) -> dict[str, Any]:
    """Write a node's arrays, and return its manifest entries; other parameters are entries themselves."""
    entries: dict[str, Any] = {}
    for field in fields(operator):
        value = getattr(operator, field.name)
        is_array = isinstance(value, np.ndarray)
        entries[field.name] = (
            write_array(stage, Path("weights") / node / field.name, value, encoding) if is_array else value
        )
    return entries


def write_array(stage: Stage, stem: Path, array: IntArray, encoding: Encoding) -> dict[str, Any]:
    """Write one array, and return its manifest entry: file (relative, with forward slashes), dtype and shape."""
    file = (stem.parent / f"{stem.name}.{encoding}").as_posix()
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    if encoding == "npy":
        content = io.BytesIO()
        np.save(content, little)
        stage.write(file, content.getvalue())
    else:
        stage.write(file, hex_text(little))
    return {
        "file": file,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
    }


def read_vectors(folder: Path) -> tuple[dict[str, Any], dict[str, IntArray]]:
    """Read the manifest and every tensor of a folder that :func:`write_vectors` wrote.

    Raises:
        P2vitError: The folder has no manifest, or writing it was interrupted.
    """
    file = folder / MANIFEST
    if "vectors" in unfinished_sets(folder):
        raise P2vitError(
            f"{folder}: was being replaced when p2vit was stopped; run the command that wrote it again"
        )
    if not file.is_file():
        raise P2vitError(
            f"{folder} holds no {MANIFEST}; expected a folder written by: p2vit export --format vectors"
        )
    manifest = json.loads(file.read_text(encoding="utf-8"))
    arrays = {name: read_array(folder, entry) for name, entry in manifest["tensors"].items()}
    return manifest, arrays


def read_array(folder: Path, entry: dict[str, Any]) -> IntArray:
    """Read one array by its manifest entry."""
    file = folder / entry["file"]
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False)
    return parse_hex(file.read_text(encoding="ascii"), entry["dtype"], tuple(entry["shape"]))


def vectors_target(folder: Path, overwrite: bool) -> FileSet:
    """Return the set of files that vectors are written to.

    Raises:
        P2vitError: The path cannot be a folder.
    """
    return FileSet.filling(folder, "vectors", overwrite, _older)


def _older(folder: Path) -> list[str]:
    """Return the files that the manifest lists, for vectors written by releases without a record of files."""
    if kind_of(folder / MANIFEST) != "file":
        return []
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            return []
        entries = [*found["tensors"].values()]
        for node in found["nodes"]:
            entries += [value for value in node["parameters"].values() if isinstance(value, dict)]
        return [MANIFEST, *(str(entry["file"]) for entry in entries if "file" in entry)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
