"""What workflows take: a program's folder or a program in memory, photos by name or held, a model by name or loaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.program.graph import IntegerProgram
from p2vit.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource

#: What a program that was never saved is called in results.
IN_MEMORY = "in memory"


@dataclass(frozen=True)
class OpenProgram:
    """A program that is loaded.

    Attributes:
        program: The program.
        title: Its folder, or `IN_MEMORY`.
        notes: What quantizing found out about it, as in its folder's ``sensitivity.json``; empty if unknown.
    """

    program: IntegerProgram
    title: str = IN_MEMORY
    notes: dict[str, Any] = field(default_factory=dict)


def open_program(program: Path | OpenProgram) -> OpenProgram:
    """Load a program, or take one that is loaded.

    Args:
        program: Its folder, or the program.

    Raises:
        ProgramError: it cannot be loaded.
    """
    if isinstance(program, OpenProgram):
        return program
    from p2vit.program.format import load

    return OpenProgram(load(program), str(program))


def open_data(
    data: "str | PhotoSource",
    preprocessing: Preprocessing,
    *,
    strict: bool = False,
    labels: Path | None = None,
) -> "PhotoSource":
    """Open photos by name, or take those that are open.

    Args:
        data: A folder, a benchmark's name, or photos.
        preprocessing: The model's.
        strict: Refuse photos that cannot be read.
        labels: File with the labels of a folder's photos.

    Raises:
        DataError: there are none, or a label file that does not fit.
    """
    if not isinstance(data, str):
        return data
    from p2vit.data.benchmarks import open_photos

    if not strict and labels is None:
        return open_photos(data, preprocessing)
    return open_photos(data, preprocessing, strict=strict, labels=labels)


def data_name(data: "str | PhotoSource") -> str:
    """What photos are called in results: as they were typed, or their own name."""
    return data if isinstance(data, str) else data.name
