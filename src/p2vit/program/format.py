"""Save and load programs: a folder with ``program.json`` and ``tensors.safetensors``.

``program.json`` has the graph, the tensor specs, scalars, preprocessing, classes and provenance, the hash of the tensor
file, and a hash of itself. ``tensors.safetensors`` has only integer arrays. Equal programs give equal bytes. `load`
checks everything: any deviation raises a `ProgramError` that names the file and the item.
"""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from pydantic import ValidationError

from p2vit.errors import P2vitError, ProgramError
from p2vit.files import Content, FileSet, kind_of, unfinished_sets
from p2vit.numerics.rounding import IntArray
from p2vit.program.check import structure_problems
from p2vit.program.document import FORMAT, VERSION, VERSIONS, Document, Rebuilder, canonical_json, describe
from p2vit.program.exponents import scale_problems
from p2vit.program.graph import IntegerProgram
from p2vit.program.provenance import provenance_problem
from p2vit.program.tensor_file import read_tensors

GRAPH_FILE, TENSOR_FILE = "program.json", "tensors.safetensors"
#: Name of the file set in the record of the folder.
SET = "program"
#: Files that p2vit writes beside a program → their first bytes.
BESIDE = {
    "sensitivity.json": b'{\n "model"',
    "sensitivity.svg": b"<svg",
    "README.md": b"---\nlibrary_name: p2vit\n",
    "search.json": b'{\n "bits_per_layer"',
}
MAX_GRAPH_BYTES, MAX_TENSOR_BYTES = 64 << 20, 8 << 30
#: Keys that do not count in the hash of a program. The provenance has times, dates, versions and machines, which do not
#: change the computation.
UNHASHED = ("provenance",)
#: Version that counts in the hash instead of the version of the file format. It changes only if the same description
#: means a different computation, so that published hashes stay valid when the format changes.
MEANING = 1


def program_sha256(program: IntegerProgram) -> str:
    """Return the SHA-256 of a program: of its graph, all integers, the preprocessing and the classes.

    The provenance and the version of the file format do not count, so the same integers always have the same hash.

    Returns:
        64 hexadecimal digits.

    Raises:
        ProgramError: A value in the program cannot be written as JSON.
    """
    document, arrays = describe(program)
    counted = {key: value for key, value in document.items() if key not in UNHASHED}
    digest = hashlib.sha256(_canonical(counted | {"version": MEANING}))
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key]).astype(arrays[key].dtype.newbyteorder("<"), copy=False)
        digest.update(_canonical([key, str(arrays[key].dtype), list(array.shape)]))
        digest.update(array.tobytes())
    return digest.hexdigest()


def save(program: IntegerProgram, folder: Path | str, overwrite: bool = False) -> None:
    """Save a program. The folder appears complete or not at all.

    Files that p2vit did not write are never changed; see `p2vit.files`.

    Args:
        program: The program. It is decoded again before it is written, so that only loadable programs are saved.
        folder: Folder for the program. Missing parents are made.
        overwrite: Whether to replace a program that p2vit wrote there.

    Raises:
        ProgramError: The folder contains a program or other files, the program is invalid, another run writes there,
            or the disk refuses.
    """
    save_with(program, Path(folder), {}, overwrite)


def save_with(
    program: IntegerProgram, folder: Path, beside: Mapping[str, Content], overwrite: bool = False
) -> None:
    """Save a program together with other files in its folder.

    Args:
        program: See `save`.
        folder: Folder for the program. Missing parents are made.
        beside: Name → content of the other files.
        overwrite: Whether to replace a program that p2vit wrote there.

    Raises:
        ProgramError: See `save`.
    """
    check_place(folder, overwrite)
    graph, tensors = encode(program)
    decode(graph, tensors, str(folder))
    try:
        place(folder, overwrite).write({TENSOR_FILE: tensors, GRAPH_FILE: graph, **beside})
    except ProgramError:
        raise
    except P2vitError as error:
        raise ProgramError(str(error)) from None


def load(folder: Path | str) -> IntegerProgram:
    """Load a program and check everything in it.

    Args:
        folder: Folder that `save` wrote.

    Returns:
        The program.

    Raises:
        ProgramError: A file is missing, damaged or of another version; a hash differs; an operator or key is unknown;
            or a dtype, shape, range, order or exponent does not fit. The message names the file and the item.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise ProgramError(f"{folder}: {kind}; a program is a folder with {GRAPH_FILE} and {TENSOR_FILE}")
    if SET in unfinished_sets(folder):
        raise ProgramError(
            f"{folder}: was being replaced when p2vit was stopped, so its files may not belong together; run the "
            "command that wrote it again"
        )
    graph = _read(folder / GRAPH_FILE, MAX_GRAPH_BYTES)
    tensors = _read(folder / TENSOR_FILE, MAX_TENSOR_BYTES)
    return decode(graph, tensors, str(folder))


def encode(program: IntegerProgram) -> tuple[bytes, bytes]:
    """Encode a program as the contents of ``program.json`` and ``tensors.safetensors``.

    Raises:
        ProgramError: A value in the program cannot be written as JSON.
    """
    document, arrays = describe(program)
    tensors = safetensors.numpy.save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    document["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    document["sha256"] = hashlib.sha256(_canonical(document)).hexdigest()
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode(), tensors


def decode(graph: bytes, tensors: bytes, where: str) -> IntegerProgram:
    """Decode a program from the contents of its two files, and check it.

    Args:
        graph: Content of ``program.json``.
        tensors: Content of ``tensors.safetensors``.
        where: Path of the folder, for messages.

    Raises:
        ProgramError: See `load`.
    """
    at_graph, at_tensors = f"{where}/{GRAPH_FILE}", f"{where}/{TENSOR_FILE}"
    with ThreadPoolExecutor(1) as other:
        # Hashing takes as long as all other checks, and these do not rely on the hash, so both run in parallel.
        digest = other.submit(lambda: hashlib.sha256(tensors).hexdigest())
        document = _parse_document(graph, at_graph)
        failure = None
        try:
            program = _rebuild(document, tensors, at_graph, at_tensors)
        except ProgramError as error:
            failure = error
    if digest.result() != document.tensors_sha256:
        raise ProgramError(
            f"{at_tensors}: its sha256 is not the one that {GRAPH_FILE} records; "
            "the file is damaged, incomplete or another program's: copy or make it again"
        )
    if failure:
        raise failure
    return program


def _rebuild(document: Document, tensors: bytes, at_graph: str, at_tensors: str) -> IntegerProgram:
    """Make the program of a document and a tensor file, and check everything except the hashes."""
    arrays = _parse_tensors(tensors, at_tensors)
    try:
        program = Rebuilder(arrays).program(document)
    except ValueError as error:
        raise ProgramError(f"{at_graph}: {error}") from None
    problems = structure_problems(program) or [f"node {p.node}: {p.message}" for p in scale_problems(program)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ProgramError(f"{at_graph}: {problems[0]}{more}")
    return program


def _parse_document(graph: bytes, where: str) -> Document:
    """Parse ``program.json``, and check its keys, types, version and hash."""
    try:
        raw = json.loads(graph, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProgramError(
            f"{where}: is not JSON ({error}); the file is damaged, incomplete or foreign"
        ) from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ProgramError(f'{where}: is not an integer program: its "format" is not {FORMAT!r}')
    _expect_version(raw, where)
    recorded = raw.pop("sha256", None)
    try:
        found = hashlib.sha256(_canonical(raw)).hexdigest()
    except ProgramError as error:
        raise ProgramError(f"{where}: {error}") from None
    if found != recorded:
        raise ProgramError(
            f"{where}: its sha256 is not the one it records; "
            "the file was damaged or edited: copy or make it again"
        )
    if isinstance(told := raw.get("provenance"), dict) and (problem := provenance_problem(told)):
        raise ProgramError(f"{where}: {problem}")
    try:
        return Document.model_validate_json(graph)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        item = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ProgramError(f"{where}: {item}: {first['msg']}") from None


def _expect_version(raw: dict[str, Any], where: str) -> None:
    """Check that the files have the version that this release reads.

    Raises:
        ProgramError: They have another version. The message says which release wrote them, if known, and what to do.
    """
    version, known = raw.get("version"), " or ".join(map(str, VERSIONS))
    if type(version) is not int or version < 1:
        raise ProgramError(
            f"{where}: has version {version!r}; expected {known}: the file is damaged or foreign"
        )
    if version in VERSIONS:
        return
    provenance = raw.get("provenance")
    told = provenance if isinstance(provenance, dict) else {}
    writer, source = (str(told[key])[:100] if told.get(key) else "" for key in ("p2vit", "source"))
    by = f", written by p2vit {writer}" if writer else ""
    todo = f"quantize {source or 'the model'} again" if version < VERSION else "update p2vit"
    raise ProgramError(
        f"{where}: has version {version} of the format{by}, but this release reads version {known}: {todo}"
    )


def _parse_tensors(tensors: bytes, where: str) -> dict[str, IntArray]:
    """Parse ``tensors.safetensors``, and refuse arrays that are not integers."""
    try:
        arrays = read_tensors(tensors)
    except ValueError as error:
        raise ProgramError(f"{where}: is not a safetensors file ({error})") from None
    for key, array in arrays.items():
        if array.dtype.kind not in "iu":
            raise ProgramError(f"{where}: array {key!r} is {array.dtype}; a program holds integers only")
    return arrays


def _read(path: Path, limit: int) -> bytes:
    """Read a plain file.

    Raises:
        ProgramError: The file is missing, not a plain file, unreadable or too large.
    """
    try:
        if not path.is_file():
            raise ProgramError(
                f"{path}: is missing or not a plain file; a program is {GRAPH_FILE} and {TENSOR_FILE}"
            )
        size = path.stat().st_size
        if size > limit:
            raise ProgramError(f"{path}: has {size} bytes; allowed are up to {limit}")
        return path.read_bytes()
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read: {error.strerror or error}") from None


def check_place(folder: Path, overwrite: bool) -> None:
    """Check that a program may be written to a folder.

    Args:
        folder: Folder for the program.
        overwrite: Whether an existing program may be replaced.

    Raises:
        ProgramError: The program may not be written there.
    """
    try:
        target = place(folder, overwrite)
        target.check([GRAPH_FILE, TENSOR_FILE])
        outer = next((parent for parent in target.folder.parents if _is_program(parent)), None)
    except P2vitError as error:
        raise ProgramError(str(error)) from None
    if outer:
        raise ProgramError(f"{folder}: is inside the program {outer}; choose a place outside of it")


def place(folder: Path, overwrite: bool) -> FileSet:
    """Return the file set of a program and the files beside it.

    Raises:
        P2vitError: The path cannot be a folder.
    """
    return FileSet.filling(folder, SET, overwrite, _older)


def _older(folder: Path) -> list[str]:
    """List the files of a program that an older release wrote without a record.

    The program is recognized by its own hashes. The files beside it have no hash, so they are recognized by their
    first bytes.
    """
    if not _is_program(folder):
        return []
    found = [GRAPH_FILE, TENSOR_FILE]
    for name, begins in BESIDE.items():
        path = folder / name
        if kind_of(path) == "file":
            with path.open("rb") as file:
                found += [name] if file.read(len(begins)) == begins else []
    return found


def _is_program(folder: Path) -> bool:
    """Return whether a folder has both files of a program, of any version, with correct hashes."""
    graph, tensors = folder / GRAPH_FILE, folder / TENSOR_FILE
    if kind_of(graph) != "file" or kind_of(tensors) != "file":
        return False
    try:
        raw = json.loads(_read(graph, MAX_GRAPH_BYTES))
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            return False
        recorded = raw.pop("sha256", None)
        if hashlib.sha256(_canonical(raw)).hexdigest() != recorded:
            return False
        return hashlib.sha256(_read(tensors, MAX_TENSOR_BYTES)).hexdigest() == raw.get("tensors_sha256")
    except (ValueError, RecursionError, ProgramError):
        return False


def _canonical(value: Any) -> bytes:
    """Call `canonical_json`, and raise a `ProgramError` if it fails."""
    try:
        return canonical_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProgramError(f"the program's description cannot be written as JSON: {error}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, and refuse duplicate keys, which JSON readers treat differently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    """Refuse NaN and infinities, which are not JSON."""
    raise ValueError(f"{name} is not a JSON number")
