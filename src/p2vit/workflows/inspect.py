"""``p2vit inspect``: what is in a program."""

from pathlib import Path
from typing import Any

from p2vit.workflows.inputs import OpenProgram, open_program


def run_inspect(program: Path | OpenProgram) -> dict[str, Any]:
    """Summarise a program.

    Args:
        program: Its folder, or a program that is open.

    Returns:
        The keys of ``p2vit inspect --json``.

    Raises:
        ProgramError: it cannot be loaded.
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
