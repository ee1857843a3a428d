"""Compile a program for an accelerator that p2vit can generate."""

from pathlib import Path
from typing import Any

from p2vit.workflows.inputs import OpenProgram, open_program


def compiled_program(program: Path | OpenProgram, hardware: str, changes: tuple[str, ...]) -> Any:
    """Load a program and compile it for an accelerator.

    Args:
        program: Folder of the program, or a loaded program.
        hardware: ``rtl``, ``rtl-wide`` or ``rtl-small``.
        changes: Sizes to change, as ``key=number``.

    Returns:
        `p2vit.hdl.compile.compiled.CompiledProgram`.

    Raises:
        P2vitError: There is no program or no such accelerator, or the program does not fit it.
    """
    from p2vit.hdl.compile.compiler import compile_program
    from p2vit.hdl.machines import machine_of

    machine = machine_of(hardware, changes)
    return compile_program(open_program(program).program, machine)


def is_chunk_machine(hardware: str) -> bool:
    """Return whether a name is that of a machine of the chunk organisation."""
    from p2vit.hdl.chunks.machine import MACHINES

    return hardware in MACHINES


def compiled_chunks(program: Path | OpenProgram, hardware: str, changes: tuple[str, ...]) -> Any:
    """Load a program and compile it for a machine of the chunk organisation.

    Args:
        program: Folder of the program, or a loaded program.
        hardware: ``chunk``, ``chunk-wide`` or ``chunk-small``.
        changes: Sizes to change, as ``key=number``.

    Returns:
        `p2vit.hdl.chunks.compile.compiled.CompiledChunks`.

    Raises:
        P2vitError: There is no program, or it does not fit the machine.
    """
    from p2vit.hdl.chunks.compile.compiler import compile_chunks
    from p2vit.hdl.machines import chunk_machine_of

    machine = chunk_machine_of(hardware, changes)
    return compile_chunks(open_program(program).program, machine)


def reference(program: Any) -> Any:
    """Return the executor that the RTL must equal: the reference."""
    from p2vit.engine.reference import ReferenceExecutor

    return ReferenceExecutor(program)
