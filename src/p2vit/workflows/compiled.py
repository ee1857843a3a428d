"""A program compiled for an accelerator that can be built."""

from pathlib import Path
from typing import Any

from p2vit.workflows.inputs import OpenProgram, open_program


def compiled_program(program: Path | OpenProgram, hardware: str, changes: tuple[str, ...]) -> Any:
    """Load a program and compile it for a machine.

    Raises:
        P2vitError: no program, no such machine, or a program that it cannot hold.
    """
    from p2vit.hdl.compile.compiler import compile_program
    from p2vit.hdl.machines import machine_of

    machine = machine_of(hardware, changes)
    return compile_program(open_program(program).program, machine)


def reference(program: Any) -> Any:
    """The executor whose integers the RTL's must be: the norm itself."""
    from p2vit.engine.reference import ReferenceExecutor

    return ReferenceExecutor(program)
