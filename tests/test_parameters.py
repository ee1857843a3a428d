"""No function has more parameters than people can keep apart; what has more takes an options dataclass."""

import ast
from pathlib import Path

MOST = 8
SOURCE = Path(__file__).parent.parent / "src" / "p2vit"


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Parameters of a function, without ``self`` and ``cls``; ``*args`` and ``**options`` count as one each."""
    own = function.args
    names = [argument.arg for argument in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
    return len(names[names[:1] in (["self"], ["cls"]) :]) + (own.vararg is not None) + (own.kwarg is not None)


def test_functions_have_at_most_eight_parameters():
    found = set()
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters(node) > MOST:
                found.add(f"{file.relative_to(SOURCE).as_posix()} {node.name}")
    assert found == set(), "give them an options dataclass"
