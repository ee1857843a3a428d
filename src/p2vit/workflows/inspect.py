"""``p2vit inspect``: what is in a program."""

from pathlib import Path
from typing import Any


def run_inspect(program: Path) -> dict[str, Any]:
    """Summarise a program.

    Args:
        program: Its folder.

    Returns:
        The keys of ``p2vit inspect --json``.

    Raises:
        ProgramError: it cannot be loaded.
    """
    from p2vit.program.format import load, program_sha256
    from p2vit.program.inspect import summarize

    loaded = load(program)
    return {
        **summarize(loaded).model_dump(),
        "program": str(program),
        "program_sha256": program_sha256(loaded),
        "class_names": list(loaded.classes),
        "preprocessing": loaded.preprocessing.model_dump(mode="json"),
    }
