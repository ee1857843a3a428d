"""Write docs/how-to/python.ipynb: the page docs/how-to/python.md as a notebook, cell by cell.

python scripts/python_notebook.py
"""

import json
import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs" / "how-to"
PAGE, NOTEBOOK = DOCS / "python.md", DOCS / "python.ipynb"
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def cells(page: str) -> list[tuple[str, str]]:
    """(kind, text) of each cell: ``code`` for blocks of Python, ``markdown`` for what is between them."""
    found, end = [], 0
    for block in BLOCK.finditer(page):
        found.append(("markdown", page[end : block.start()].strip()))
        found.append(("code", block.group(1).strip()))
        end = block.end()
    found.append(("markdown", page[end:].strip()))
    return [cell for cell in found if cell[1]]


def notebook(page: str) -> str:
    """The notebook's JSON: no outputs, and identifiers that depend on the place alone."""
    made = []
    for number, (kind, text) in enumerate(cells(page)):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(True)}
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
