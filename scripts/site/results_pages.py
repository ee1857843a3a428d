"""The page of every measured figure: its command, its machine, its date, and how it changed."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import results_history

#: A table of a trend shows at most so many measurements.
COLUMNS = 5
OPENING = """# Every measured figure

After reading this page you know when, how and on which machine each file of results was measured, and how its figures
changed since. The page is generated from [history.jsonl](history.jsonl), which gains a line whenever a file is measured
anew. [Measured figures](README.md) has the commands for all of them.

"""


def number(value: Any) -> str:
    """Return a figure as text; a dash if it was not measured."""
    if value is None:
        return "–"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def day(row: dict[str, Any]) -> str:
    """Return the date of a measurement, with hyphens at which no browser breaks the line."""
    return row["date"].replace("-", "\N{NON-BREAKING HYPHEN}")


def cell(text: str) -> str:
    """Return a text that a table's cell can hold."""
    return text.replace("|", "\\|").replace("\n", " ")


def overview(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return a table with one line per file."""
    lines = ["| file | measured | command | machine |", "|---|---|---|---|"]
    for name, measured in rows.items():
        last = measured[-1]
        anchor = name.replace("/", "").replace(".", "").lower()
        command = cell(last["command"]) or "see README.md"
        lines.append(f"| [{name}](#{anchor}) | {day(last)} | `{command}` | {cell(last['machine'])} |")
    return "\n".join(lines) + "\n\n"


def section(name: str, measured: list[dict[str, Any]]) -> str:
    """Return the section of one file: its figures at the latest measurements, the newest last."""
    lines = [f"## {name}\n", f"[The file]({name}).\n"]
    shown = measured[-COLUMNS:]
    if len(shown) > 1:
        lines.append(f"Measured {len(measured)} times; the newest column is the file as it is.\n")
    names = list(shown[-1]["figures"])
    if names:
        lines += [
            "| figure | " + " | ".join(map(day, shown)) + " |",
            "|---|" + "---:|" * len(shown),
            *(
                f"| {cell(key)} | " + " | ".join(number(row["figures"].get(key)) for row in shown) + " |"
                for key in names
            ),
        ]
    else:
        lines.append("This file holds tables only.")
    return "\n".join(lines) + "\n\n"


def pages() -> dict[str, str]:
    """Return page of the site → Markdown."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in results_history.read():
        rows.setdefault(row["file"], []).append(row)
    rows = {name: rows[name] for name in results_history.names() if name in rows}
    return {
        "results/figures.md": OPENING
        + overview(rows)
        + "".join(section(name, each) for name, each in rows.items())
    }
