"""No float may enter the reference operators: the test walks their source code."""

import ast
from pathlib import Path

import pytest

import p2vit.numerics

FILES = sorted(Path(p2vit.numerics.__file__).parent.glob("*.py"))
FORBIDDEN_NAMES = {
    "float",
    "complex",
    "Fraction",
    "Decimal",
    "exp",
    "log",
    "log2",
    "exp2",
    "sqrt",
    "true_divide",
    "divide",
}
FORBIDDEN_CALLS = FORBIDDEN_NAMES | {
    "mean",
    "var",
    "std",
    "average",
    "linspace",
    "power",
    "reciprocal",
}
ALLOWED_MODULES = {
    "abc", "collections.abc", "dataclasses", "functools", "math", "numpy", "numpy.typing", "typing",
}  # fmt: skip
ALLOWED_FROM_MATH = {"isqrt", "prod"}


def floats_in(source: str) -> list[str]:
    """Every place where a float could arise."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{line}: literal {node.value}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{line}: true division")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            exponent = node.right
            if not (
                isinstance(exponent, ast.Constant) and isinstance(exponent.value, int) and exponent.value >= 0
            ):
                found.append(f"{line}: power with an exponent that may be negative")
        if isinstance(node, ast.Attribute) and (
            node.attr in FORBIDDEN_CALLS or node.attr.startswith(("float", "complex"))
        ):
            found.append(f"{line}: .{node.attr}")
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            found.append(f"{line}: {node.id}")
        if isinstance(node, ast.ImportFrom):
            if node.module == "math":
                found += [f"{line}: math.{n.name}" for n in node.names if n.name not in ALLOWED_FROM_MATH]
            elif node.module not in ALLOWED_MODULES and not (node.module or "").startswith("p2vit.numerics"):
                found.append(f"{line}: imports {node.module}")
        if isinstance(node, ast.Import):
            found += [f"{line}: imports {n.name}" for n in node.names if n.name != "numpy"]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_float_can_arise(path):
    assert floats_in(path.read_text()) == []


def test_there_is_something_to_walk():
    assert len(FILES) >= 9


@pytest.mark.parametrize(
    "source",
    [
        "x = 0.5",
        "x = 1j",
        "x = a / b",
        "x /= 2",
        "x = 2 ** -y",
        "x = float(a)",
        "x = a.astype(np.float32)",
        "x = np.sqrt(a)",
        "x = a.mean()",
        "import math",
        "import torch",
        "from math import sqrt",
        "from fractions import Fraction",
    ],
)
def test_the_walk_finds(source):
    assert floats_in(source)
