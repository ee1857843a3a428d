"""``p2vit inspect``: show what a program contains."""

from pathlib import Path
from typing import Any

from p2vit.workflows.inputs import OpenProgram, open_program


def run_inspect(program: Path | OpenProgram) -> dict[str, Any]:
    """Summarize a program.

    Args:
        program: Folder of the program, or a loaded program.

    Returns:
        The keys of ``p2vit inspect --json``.

    Raises:
        ProgramError: The program cannot be loaded.
    """
    from p2vit.program.format import program_sha256
    from p2vit.program.inspect import summarize

    opened = open_program(program)
    loaded = opened.program
    return {
        **summarize(loaded).model_dump(),
        "program": opened.title,
        "program_sha256": program_sha256(loaded),
        "class_names": list(loaded.classes),
        "preprocessing": loaded.preprocessing.model_dump(mode="json"),
    }
