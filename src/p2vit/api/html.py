"""Tables for notebooks, as self-contained HTML."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = "text-align:left;padding:2px 12px 2px 0"


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """Return an HTML table.

    Args:
        title: Text above the table.
        header: One text per column. A header of empty texts is not shown.
        rows: The rows, one text per column.
        notes: Paragraphs below the table.

    Returns:
        HTML without links, scripts or other files. Every text is escaped.
    """
    head = "".join(f'<th style="{STYLE}">{escape(text)}</th>' for text in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{STYLE}">{escape(text)}</td>' for text in row) + "</tr>" for row in rows
    )
    shown = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<div><p><b>{escape(title)}</b></p><table>{shown}<tbody>{body}</tbody></table>{below}</div>"


def percent(value: float | None) -> str:
    """Format a percentage from 0 to 100, or return ``-`` for None."""
    return "-" if value is None else f"{value:.2f} %"
