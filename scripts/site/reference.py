"""Generated pages of the reference: the Python interface from docstrings, the options from the commands."""

from collections.abc import Iterable
from importlib import import_module
from inspect import isclass, isfunction

from p2vit import _PUBLIC, __all__

#: Page → title, opening, modules whose public names it shows. The page of `p2vit` is made from its public names.
MODULES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "options": (
        "Options",
        "Each keyword of the functions of `p2vit` and each option of a verb is a field of one of these dataclasses.",
        (
            "p2vit.workflows.options.quantize",
            "p2vit.workflows.options.evaluate",
            "p2vit.workflows.options.export",
            "p2vit.workflows.options.hardware",
        ),
    ),
    "results": (
        "Results",
        "Functions return frozen objects. Their attributes are the keys that the verbs print with `--json`.",
        ("p2vit.api.results",),
    ),
    "program": (
        "Programs",
        "An integer program in memory and on disk, its proof and its preprocessing.",
        (
            "p2vit.program.graph",
            "p2vit.program.format",
            "p2vit.program.audit",
            "p2vit.program.inspect",
            "p2vit.program.preprocessing",
        ),
    ),
    "numerics": (
        "Operators",
        "The definition of each integer operator. Every back-end returns the same integers as `compute`.",
        ("p2vit.numerics",),
    ),
    "errors": (
        "Errors",
        "Every error that a user can correct is a `P2vitError`. It says what is wrong, where, and what to do next.",
        ("p2vit.errors",),
    ),
}


def identifiers() -> list[str]:
    """Return the full name of every object that the page of `p2vit` shows, in the order of the package."""
    order = [name for name in _PUBLIC if name in __all__]
    return [f"{_PUBLIC[name]}.{name}" for name in order]


def _block(identifier: str, options: Iterable[str] = ()) -> str:
    lines = [f"::: {identifier}"]
    if options:
        lines += ["    options:", *(f"      {each}" for each in options)]
    return "\n".join(lines) + "\n"


def _public(identifier: str) -> str:
    name = f"p2vit.{identifier.rpartition('.')[2]}"
    return _block(identifier, (f"heading: {name}", f"toc_label: {name}"))


def pages() -> dict[str, str]:
    """Return page of the site → Markdown."""
    opening = (
        "# The package `p2vit`\n\n"
        "These names are the public Python interface. [The how-to](../../how-to/python.md) shows them at work, and "
        "[what is stable](../../project/stability.md) says which changes to expect.\n\n"
    )
    found = {"reference/api/p2vit.md": opening + "\n".join(_public(name) for name in identifiers())}
    for name, (title, text, modules) in MODULES.items():
        blocks = "\n".join(_block(member) for module in modules for member in members(module))
        found[f"reference/api/{name}.md"] = f"# {title}\n\n{text}\n\n{blocks}"
    found["reference/commands.md"] = COMMANDS
    return found


def members(module: str) -> list[str]:
    """Return the public classes and functions of a module that the page of `p2vit` does not show, in their order."""
    found = import_module(module)
    exported = getattr(found, "__all__", None)
    shown = identifiers()
    return [
        f"{module}.{name}"
        for name in exported or vars(found)
        if not name.startswith("_")
        and (isclass(thing := getattr(found, name)) or isfunction(thing))
        and (exported or thing.__module__ == module)
        and f"{module}.{name}" not in shown
    ]


COMMANDS = """# Options of every verb

This page is generated from the commands themselves: it shows what `p2vit VERB --help` prints.
[The command line](cli.md) says what each verb does and explains every key of `--json`.

::: mkdocs-click
    :module: p2vit.cli.main
    :command: cli
    :prog_name: p2vit
    :depth: 1
    :style: plain
"""
