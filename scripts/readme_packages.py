"""Write the README's table of packages: in the order of the linter's layers, with the first line of each docstring.

python scripts/readme_packages.py
"""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
START, END = "<!-- packages: made by scripts/readme_packages.py -->\n", "<!-- /packages -->"


def layers() -> list[list[str]]:
    """Packages of each layer, the lowest first, as import-linter's contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [contract] = [each for each in contracts if each.get("containers") == ["p2vit"]]
    return [[name.strip() for name in layer.split("|")] for layer in reversed(contract["layers"])]


def about(package: str) -> str:
    """First line of a package's docstring."""
    text = (ROOT / "src" / "p2vit" / package / "__init__.py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").splitlines()[0].replace("``", "`").removesuffix(".")


def packages_table() -> str:
    """The table."""
    rows = ["| layer | package | what is in it |", "|---|---|---|"]
    for number, layer in enumerate(layers()):
        rows += [f"| {number} | `p2vit.{name}` | {about(name)} |" for name in layer]
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The README with the table as it is now."""
    head, rest = text.split(START)
    return head + START + packages_table() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
