"""The templates of the HTML pages, and how they show numbers."""

from collections.abc import Sequence

import jinja2


def environment() -> jinja2.Environment:
    """Return the Jinja environment of all pages. A name that a page does not get is an error."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("p2vit.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["number"] = number
    found.filters["interval"] = interval
    return found


def interval(ends: Sequence[float]) -> str:
    """Format an interval in percent for people."""
    return f"{ends[0]:.2f} to {ends[1]:.2f} %"


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Format a measured number with its unit; a dash for None."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}"
    return f"{text} {unit}" if unit else text
