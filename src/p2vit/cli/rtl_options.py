"""Options that the verbs about RTL share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def machine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--hw`` and ``--set``."""
    function = click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=N",
        help="Change a size of the machine, e.g. --set lines=32; repeat for more.",
    )(function)
    return click.option(
        "--hw",
        "hardware",
        default="rtl",
        show_default=True,
        metavar="NAME",
        help="rtl, rtl-wide or rtl-small.",
    )(function)


def compiled_program(program: Path, hardware: str, changes: tuple[str, ...]) -> Any:
    """Load a program and compile it for a machine.

    Raises:
        P2vitError: no program, no such machine, or a program that it cannot hold.
    """
    from p2vit.program.format import load
    from p2vit.rtl.compile.compiler import compile_program
    from p2vit.rtl.machines import machine_of

    machine = machine_of(hardware, changes)
    return compile_program(load(program), machine)


def reference(program: Any) -> Any:
    """The executor whose integers the RTL's must be: the norm itself."""
    from p2vit.engine.reference import ReferenceExecutor

    return ReferenceExecutor(program)
