"""Elements of a chart as SVG text, and the colours that all charts share."""

from collections.abc import Sequence
from html import escape

INK, SOFT, GRID, EMPTY = "#37352f", "#6b6a66", "#e3e2e0", "#eeeeee"
# Okabe and Ito's palette, which colour-blind readers can tell apart. https://jfly.uni-koeln.de/color/
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#999999",
)
SERIES = (BLUE, VERMILION, GREEN, PURPLE)
SIZE = 12


def document(width: float, height: float, body: Sequence[str], title: str, *, own_size: bool = False) -> str:
    """Return an SVG document.

    Args:
        width: Width of the drawing in pixels.
        height: Height of the drawing in pixels.
        body: Elements.
        title: What the chart shows, for screen readers and as a hint over the chart.
        own_size: Draw the chart at its own size or narrower. Otherwise a browser fits it into the window, in which a
            tall chart is too small to read.
    """
    size = f' width="{width:g}" style="max-width:100%;height:auto"' if own_size else ""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"{size} role="img" '
        f'font-family="system-ui, sans-serif" font-size="{SIZE}" fill="{INK}">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *body, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = SIZE, more: str = "") -> str:
    """Return a line of text.

    Args:
        x: Place of the anchor.
        y: Base line.
        words: The text.
        anchor: ``start``, ``middle`` or ``end``.
        size: Height of the letters in pixels.
        more: Further attributes.
    """
    look = f'x="{x:.1f}" y="{y:.1f}"'
    look += f' text-anchor="{anchor}"' if anchor != "start" else ""
    look += f' font-size="{size}"' if size != SIZE else ""
    return f"<text {look}{' ' + more if more else ''}>{escape(words)}</text>"


def rect(
    x: float, y: float, width: float, height: float, fill: str, *, hint: str = "", opacity: float = 1.0
) -> str:
    """Return a filled rectangle. One that is narrower than 0.3 pixels is drawn that wide, so that it is visible.

    Args:
        x: Left edge.
        y: Upper edge.
        width: Width in pixels.
        height: Height in pixels.
        fill: Colour.
        hint: Text that a browser shows when the pointer is over the rectangle.
        opacity: 0 to 1.
    """
    faint = f' opacity="{opacity}"' if opacity != 1.0 else ""
    shape = (
        f'x="{x:.2f}" y="{y:.1f}" width="{max(width, 0.3):.2f}" height="{height:.1f}" fill="{fill}"{faint}'
    )
    return f"<rect {shape}>{_hint(hint)}</rect>"


def circle(x: float, y: float, radius: float, fill: str, *, hint: str = "", opacity: float = 1.0) -> str:
    """Return a filled circle. The arguments are those of `rect`."""
    faint = f' opacity="{opacity}"' if opacity != 1.0 else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}"{faint}>{_hint(hint)}</circle>'


def line(start: tuple[float, float], end: tuple[float, float], colour: str = GRID, width: float = 1) -> str:
    """Return a straight line between two points."""
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def polyline(points: Sequence[tuple[float, float]], colour: str = INK, width: float = 2) -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def _hint(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
