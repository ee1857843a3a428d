"""Writes an ONNX model as one file, or as two files if its weights are too large for one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from p2vit.export.onnx.common.optional import onnx
from p2vit.files import FileSet

#: Bytes of constants up to which a model is one file. A protobuf message is limited to 2 GiB; the rest is for nodes.
LARGEST_SINGLE_FILE = (1 << 31) - (1 << 26)
#: Bytes below which a constant stays in the model file.
LEAST_EXTERNAL_BYTES = 1024


def constant_bytes(model: Any) -> int:
    """Return the bytes of all constants of a model."""
    return sum(len(constant.raw_data) for constant in model.graph.initializer)


def save_model(
    model: Any,
    file: Path,
    *,
    overwrite: bool = False,
    largest: int = LARGEST_SINGLE_FILE,
    check: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Write a model, whole or not at all; the same model gives the same bytes.

    Args:
        model: A ``ModelProto``; it is not changed.
        file: Output file, ``*.onnx``.
        overwrite: Replace files that p2vit wrote there.
        largest: Bytes of constants above which they are written to ``FILE.data`` as external data.
        check: Called with the path of the complete file before it is moved into place; raises if the file is wrong.

    Returns:
        The files written: the model, and its data file if there is one. They must stay in the same folder.

    Raises:
        P2vitError: A file is in the way, or the disk is full.
    """
    beside = file.with_name(file.name + ".data")
    external = constant_bytes(model) > largest
    files = [file, beside] if external else [file]
    target = FileSet.of_file(file, overwrite)
    target.check([path.name for path in files])
    with target.stage(needed=constant_bytes(model)) as stage:
        if external:
            written = without_constants(model)
            stage.write(beside.name, _external_data(model, written, beside.name))
        else:
            written = model
        stage.write(file.name, written.SerializeToString(deterministic=True))
        if check is not None:
            check(stage.root / file.name)
    return files


def without_constants(model: Any) -> Any:
    """Return a copy of a ``ModelProto`` without its constants."""
    copy = onnx().ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    copy.opset_import.extend(model.opset_import)
    copy.metadata_props.extend(model.metadata_props)
    copy.graph.name = model.graph.name
    for field in ("node", "input", "output"):
        getattr(copy.graph, field).extend(getattr(model.graph, field))
    return copy


def _external_data(model: Any, copy: Any, location: str) -> Iterator[bytes]:
    """Yield the bytes of the data file, and add the constants to ``copy``: large ones as references, small ones whole.

    Each constant begins at a multiple of the page size, so that it can be memory-mapped.
    """
    kind, place = onnx().TensorProto, 0
    for constant in model.graph.initializer:
        if len(constant.raw_data) < LEAST_EXTERNAL_BYTES:
            copy.graph.initializer.append(constant)
            continue
        padding = b"\0" * (-place % 4096)
        yield padding
        place += len(padding)
        reference = kind(name=constant.name, data_type=constant.data_type, dims=constant.dims)
        reference.data_location = kind.EXTERNAL
        entries = {"location": location, "offset": str(place), "length": str(len(constant.raw_data))}
        for key, value in entries.items():
            reference.external_data.add(key=key, value=value)
        copy.graph.initializer.append(reference)
        yield constant.raw_data
        place += len(constant.raw_data)
