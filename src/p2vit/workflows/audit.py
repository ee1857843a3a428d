"""``p2vit audit``: the proof that a program is what is claimed of it."""

from pathlib import Path
from typing import Any

from p2vit.workflows.inputs import OpenProgram, open_program


def run_audit(program: Path | OpenProgram) -> dict[str, Any]:
    """Audit a program.

    Args:
        program: Its folder, or a program that is open.

    Returns:
        The keys of ``p2vit audit --json``.

    Raises:
        ProgramError: it cannot be loaded.
    """
    from p2vit.program.audit import audit as prove

    report = prove(open_program(program).program)
    return {**report.model_dump(), "passed": report.passed}
