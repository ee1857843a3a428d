"""Inputs of the workflows: a program (a folder, or in memory) and photos (a name, or open)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.program.graph import IntegerProgram
from p2vit.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from p2vit.data.source import PhotoSource

#: Title of a program that was never saved.
IN_MEMORY = "in memory"


@dataclass(frozen=True)
class OpenProgram:
    """A loaded program.

    Attributes:
        program: The program.
        title: Folder of the program, or `IN_MEMORY`.
        notes: The content of ``sensitivity.json``: how the program was made and the error of each block; or empty.
    """

    program: IntegerProgram
    title: str = IN_MEMORY
    notes: dict[str, Any] = field(default_factory=dict)


def open_program(program: Path | OpenProgram) -> OpenProgram:
    """Load a program. A loaded program is returned as it is.

    Args:
        program: Folder of the program, or a loaded program.

    Raises:
        ProgramError: The program cannot be loaded.
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
    """Open photos by name. Open photos are returned as they are.

    Args:
        data: A folder, a benchmark's name, or open photos.
        preprocessing: How the model's photos are prepared.
        strict: Raise an error for a photo that cannot be read, instead of skipping it.
        labels: File with the labels of a folder's photos.

    Raises:
        DataError: There are no photos, or the label file does not match them.
    """
    if not isinstance(data, str):
        return data
    from p2vit.data.benchmarks import open_photos

    if not strict and labels is None:
        return open_photos(data, preprocessing)
    return open_photos(data, preprocessing, strict=strict, labels=labels)


def data_name(data: "str | PhotoSource") -> str:
    """Return the name of photos for results: as the user typed it, or the name of the open photos."""
    return data if isinstance(data, str) else data.name
