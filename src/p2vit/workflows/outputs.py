"""What ``--output`` of quantize says: dense outputs and embeddings, or, as ``-o`` does, the program's folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from p2vit.errors import P2vitError, did_you_mean
from p2vit.models.dense import is_output
from p2vit.workflows.options.quantize import QuantizeOptions

EMBEDDING = "embedding"


def folder_and_outputs(folder: Path | None, named: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """Tell the outputs of a program from its folder.

    Args:
        folder: Of ``-o``.
        named: Of every ``--output``: ``tokens``, ``layers=...`` and ``embedding`` are outputs, another value is the
            folder.

    Returns:
        (the folder, the outputs).

    Raises:
        P2vitError: there is no folder, or there are two.
    """
    outputs = tuple(text for text in named if is_output(text))
    folders = [
        *([folder] if folder is not None else []),
        *(Path(text) for text in named if not is_output(text)),
    ]
    if not folders and outputs:
        raise P2vitError(
            f"--output {outputs[0]} says what the program puts out; the folder for the program is missing: add "
            f"-o FOLDER (or -o {outputs[0]} for a folder of that name)"
        )
    if not folders:
        raise P2vitError("the folder for the program is missing: add -o FOLDER")
    if len(folders) > 1:
        near = did_you_mean(str(folders[-1]), ("tokens", "layers=", EMBEDDING))
        raise P2vitError(
            f"two folders for the program: {folders[0]} and {folders[1]}; give one.{near} Outputs are --output tokens, "
            "--output layers=2,5,8,11 and --output embedding"
        )
    return folders[0], outputs


def maps_of(options: QuantizeOptions) -> tuple[str, ...]:
    """The outputs that are feature maps, in the words of ``--output``."""
    named = (options.outputs,) if isinstance(options.outputs, str) else options.outputs
    return tuple(text for text in named if text != EMBEDDING)


def with_embedding(options: QuantizeOptions) -> QuantizeOptions:
    """Options whose ``embedding`` is set where ``outputs`` asks for one."""
    named = (options.outputs,) if isinstance(options.outputs, str) else options.outputs
    return replace(options, embedding=True) if EMBEDDING in named else options
