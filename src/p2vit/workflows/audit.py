"""``p2vit audit``: the proof that a program is what is claimed of it."""

from pathlib import Path
from typing import Any


def run_audit(program: Path) -> dict[str, Any]:
    """Audit a program.

    Args:
        program: Its folder.

    Returns:
        The keys of ``p2vit audit --json``.

    Raises:
        ProgramError: it cannot be loaded.
    """
    from p2vit.program.audit import audit as prove
    from p2vit.program.format import load

    report = prove(load(program))
    return {**report.model_dump(), "passed": report.passed}
