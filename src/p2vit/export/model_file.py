"""Writing an ONNX model: one file, or a file and its weights beside it where one file cannot hold them."""

from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError
from p2vit.export.optional import onnx

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
    copy = onnx().ModelProto()
    copy.CopyFrom(model)
    with beside.open("wb") as data:
        for constant in copy.graph.initializer:
            if len(constant.raw_data) >= LEAST_EXTERNAL_BYTES:
                _move_out(constant, data, beside.name)
    file.write_bytes(copy.SerializeToString(deterministic=True))
    return files


def _move_out(constant: Any, data: Any, location: str) -> None:
    """Append a constant to the data file, page-aligned so that it can be mapped, and leave a reference."""
    data.write(b"\0" * (-data.tell() % 4096))
    entries = {"location": location, "offset": str(data.tell()), "length": str(len(constant.raw_data))}
    data.write(constant.raw_data)
    constant.ClearField("raw_data")
    constant.data_location = onnx().TensorProto.EXTERNAL
    for key, value in entries.items():
        constant.external_data.add(key=key, value=value)
