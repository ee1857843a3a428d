"""Writing an ONNX model: one file, or a file and its weights beside it where one file cannot hold them."""

from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.optional import onnx

#: A protobuf message ends at 2 GiB; what is left is for everything but the weights.
LARGEST_SINGLE_FILE = (1 << 31) - (1 << 26)
#: Smaller constants stay in the model file.
LEAST_EXTERNAL_BYTES = 1024


def constant_bytes(model: Any) -> int:
    """Bytes of all constants of a model."""
    return sum(len(constant.raw_data) for constant in model.graph.initializer)


def save_model(
    model: Any, file: Path, *, overwrite: bool = False, largest: int = LARGEST_SINGLE_FILE
) -> list[Path]:
    """Write a model; the same model gives the same bytes.

    Args:
        model: A ``ModelProto``; left unchanged.
        file: Where to, ``*.onnx``.
        overwrite: Replace an existing file.
        largest: Bytes of constants above which they go to ``FILE.data`` as external data.

    Returns:
        The files written: the model, and its data file if there is one. They must stay side by side.

    Raises:
        P2vitError: the file exists and ``overwrite`` is off, or its folder does not.
    """
    beside = file.with_name(file.name + ".data")
    external = constant_bytes(model) > largest
    files = [file, beside] if external else [file]
    for path in files:
        if path.exists() and not overwrite:
            raise P2vitError(f"{path} exists already; choose another file or pass --overwrite")
    if not file.parent.is_dir():
        raise P2vitError(
            f"{file.parent} is no folder, so {file.name} cannot be written there; create it first"
        )
    if not external:
        file.write_bytes(model.SerializeToString(deterministic=True))
        return files
    copy = without_constants(model)
    with beside.open("wb") as data:
        for constant in model.graph.initializer:
            large = len(constant.raw_data) >= LEAST_EXTERNAL_BYTES
            copy.graph.initializer.append(_moved_out(constant, data, beside.name) if large else constant)
    file.write_bytes(copy.SerializeToString(deterministic=True))
    return files


def without_constants(model: Any) -> Any:
    """A copy of a ``ModelProto`` less its constants, which may be most of its bytes."""
    copy = onnx().ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    copy.opset_import.extend(model.opset_import)
    copy.metadata_props.extend(model.metadata_props)
    copy.graph.name = model.graph.name
    for field in ("node", "input", "output"):
        getattr(copy.graph, field).extend(getattr(model.graph, field))
    return copy


def _moved_out(constant: Any, data: Any, location: str) -> Any:
    """Append a constant to the data file, page-aligned so that it can be mapped; a reference to it."""
    data.write(b"\0" * (-data.tell() % 4096))
    entries = {"location": location, "offset": str(data.tell()), "length": str(len(constant.raw_data))}
    data.write(constant.raw_data)
    kind = onnx().TensorProto
    reference = kind(name=constant.name, data_type=constant.data_type, dims=constant.dims)
    reference.data_location = kind.EXTERNAL
    for key, value in entries.items():
        reference.external_data.add(key=key, value=value)
    return reference
