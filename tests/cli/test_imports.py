"""The command line computes nothing: it imports what parses, what prints, and the workflows."""

import ast
import sys
from pathlib import Path

import pytest

CLI = Path(__file__).parent.parent.parent / "src" / "p2vit" / "cli"
#: Beside the standard library.
ALLOWED = ("click", "rich", "p2vit.cli", "p2vit.workflows", "p2vit.errors", "p2vit.text", "p2vit.version")


def imported(tree: ast.AST) -> list[str]:
    """Dotted names of what a file imports, at its top or inside functions."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "p2vit":
            found += [f"p2vit.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return found


def allowed(module: str) -> bool:
    """Whether the command line may import a module."""
    return module.split(".")[0] in sys.stdlib_module_names or any(
        module == name or module.startswith(f"{name}.") for name in ALLOWED
    )


@pytest.mark.parametrize("file", sorted(CLI.rglob("*.py")), ids=lambda file: file.stem)
def test_the_command_line_imports_workflows_only(file):
    assert [name for name in imported(ast.parse(file.read_text(encoding="utf-8"))) if not allowed(name)] == []


def test_the_rule_sees_what_is_forbidden():
    text = "import numpy\nfrom p2vit import quant, version\ndef f():\n    from p2vit.program.format import load\n"
    assert [name for name in imported(ast.parse(text)) if not allowed(name)] == [
        "numpy",
        "p2vit.quant",
        "p2vit.program.format",
    ]
