"""``p2vit audit``: prove that a program uses integers and power-of-two scales only, and stays within int32."""

from pathlib import Path
from typing import Any

from p2vit.workflows.inputs import OpenProgram, open_program


def run_audit(program: Path | OpenProgram) -> dict[str, Any]:
    """Audit a program.

    Args:
        program: Folder of the program, or a loaded program.

    Returns:
        The keys of ``p2vit audit --json``.

    Raises:
        ProgramError: The program cannot be loaded.
    """
    from p2vit.program.audit import audit as prove

    report = prove(open_program(program).program)
    return {**report.model_dump(), "passed": report.passed}
