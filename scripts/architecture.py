"""Write the picture and the table of packages of docs/architecture.md, from the linter's layers and the docstrings.

python scripts/architecture.py
"""

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "images" / "layers.svg"
START, END = "<!-- packages: made by scripts/architecture.py -->\n", "<!-- /packages -->"
WIDTH, ROW, GAP = 760, 44, 10
#: Fill and edge of the layers, from the lowest to the highest; they suit a light and a dark page.
COLOURS = (
    "#1f6f6b",
    "#2a7f62",
    "#4b8b3b",
    "#7a8b2b",
    "#a0802a",
    "#b06a30",
    "#b0563f",
    "#a34a5e",
    "#8b4a80",
    "#6a5099",
)


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
    """The page with the table as it is now."""
    head, rest = text.split(START)
    return head + START + packages_table() + END + rest.split(END, 1)[1]


def picture() -> str:
    """The layers as SVG: the highest on top, the packages of a layer side by side."""
    found = layers()
    height = len(found) * (ROW + GAP) + GAP + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui,sans-serif" font-size="16">',
        "<title>Packages of p2vit by layer; a package imports only packages of lower layers</title>",
    ]
    for number, layer in enumerate(found):
        y = GAP + (len(found) - 1 - number) * (ROW + GAP)
        width = (WIDTH - 60 - GAP * (len(layer) - 1)) / len(layer)
        parts.append(f'<text x="30" y="{y + 28}" text-anchor="middle" fill="#888">{number}</text>')
        for place, name in enumerate(layer):
            x = 60 + place * (width + GAP)
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" rx="6" '
                f'fill="{COLOURS[number % len(COLOURS)]}"><title>{escape(about(name))}</title></rect>'
                f'<text x="{x + width / 2:.1f}" y="{y + 28}" text-anchor="middle" fill="#fff">{name}</text>'
            )
    parts.append(
        f'<text x="60" y="{height - 10}" font-size="14" fill="#888">Imports go downward only. Below all layers: '
        "errors, files, text, processors, version.</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
    PICTURE.write_text(picture(), "utf-8")
