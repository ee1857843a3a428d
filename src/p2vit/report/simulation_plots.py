"""Charts of a simulation as SVG text. The same run gives the same bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from p2vit.accel.chunks.costs import CHUNKS
from p2vit.accel.explain import RooflinePoint
from p2vit.accel.simulate import Run

# Okabe & Ito's colour-blind-safe palette.
COLOURS = {
    "embedding": "#999999",
    "attention": "#0072B2",
    "mlp": "#009E73",
    "merge": "#CC79A7",
    "head": "#56B4E9",
    "stall": "#D55E00",
}
_INK, _GRID = "#333", "#ddd"


def _svg(width: int, height: int, body: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12">'
        + "".join(body)
        + "</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 12, fill: str = _INK) -> str:
    look = f'text-anchor="{anchor}" font-size="{size}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(words)}</text>'


def _rect(
    x: float, y: float, width: float, height: float, fill: str, title: str = "", opacity: float = 1.0
) -> str:
    hover = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width, 0.3):.2f}" height="{height:.1f}" '
        f'fill="{fill}" opacity="{opacity}">{hover}</rect>'
    )


@dataclass
class _Slice:
    """A rectangle of the Gantt chart: a tile, a stall, or several tiles that are too narrow to show separately."""

    chunk: str
    start: float
    end: float
    colour: str
    title: str
    opacity: float


def _slices(run: Run, first: float, last: float, pixel: float) -> list[_Slice]:
    assert run.timing is not None
    slices: list[_Slice] = []
    latest: dict[str, _Slice] = {}
    for tile in run.timing.tiles:
        if tile.end < first or tile.start - tile.waited > last:
            continue
        operation = run.plan.operations[tile.section][tile.operation]
        start, end = max(tile.start, first), min(tile.end, last)
        begin = max(tile.start - tile.waited, first)
        if start - begin >= pixel / 2 and tile.chunk == "mac_array":
            title = f"stalled {tile.waited:,.0f} cycles: {tile.reason}"
            slices.append(_Slice(tile.chunk, begin, start, COLOURS["stall"], title, 1.0))
        colour = COLOURS[operation.part]
        before = latest.get(tile.chunk)
        if before and before.colour == colour and start - before.end < pixel / 2 and end - start < 2 * pixel:
            before.end = end
            before.title = f"{operation.part}: {before.start:,.0f} to {end:,.0f}"
        elif end > start:
            # Scores use the same array as the next head's projections, so they are drawn lighter.
            opacity = 0.55 if operation.kind == "scores" else 1.0
            title = f"{operation.name}: {tile.start:,.0f} to {tile.end:,.0f}"
            latest[tile.chunk] = _Slice(tile.chunk, start, end, colour, title, opacity)
            slices.append(latest[tile.chunk])
    return slices


def gantt(run: Run, first: float, last: float, width: int = 1100) -> str:
    """Return a Gantt chart of the tiles and stalls of every chunk.

    Args:
        run: An event-driven run.
        first: First cycle to show.
        last: Last cycle to show.
        width: Width of the chart in pixels.

    Returns:
        SVG text.
    """
    assert run.timing is not None
    left, row, top = 150, 30, 24
    scale = (width - left - 45) / max(1.0, last - first)
    height = top + row * len(CHUNKS) + 34
    body = []
    for step in range(6):
        cycle = first + (last - first) * step / 5
        x = left + (cycle - first) * scale
        body.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - 30}" stroke="{_GRID}"/>')
        body.append(_text(x, height - 14, f"{cycle:,.0f}", "middle", 11))
    for line, chunk in enumerate(CHUNKS):
        body.append(_text(left - 10, top + row * line + 19, chunk.replace("_", " "), "end"))
    for slice_ in _slices(run, first, last, 1 / scale):
        y = top + row * CHUNKS.index(slice_.chunk) + 4
        x = left + (slice_.start - first) * scale
        body.append(
            _rect(x, y, (slice_.end - slice_.start) * scale, 20, slice_.colour, slice_.title, slice_.opacity)
        )
    body.append(_text(left, 14, "Cycles. Hover to see the operation. Orange: the MAC array stalls.", size=11))
    return _svg(width, height, body, "Gantt chart of the chunks")


def roofline_plot(run: Run, points: Sequence[RooflinePoint], width: int = 620, height: int = 380) -> str:
    """Return a roofline chart: GOPS over operational intensity, both logarithmic, and the accelerator's limits.

    Args:
        run: A run.
        points: From `p2vit.accel.explain.roofline`.
        width: Width of the chart in pixels.
        height: Height of the chart in pixels.

    Returns:
        SVG text.
    """
    machine = run.machine
    peak = run.result.peak_gops
    bandwidth = machine.dram.bandwidth_gbytes_per_s
    ridge = peak / bandwidth
    xs = [point.ops_per_byte for point in points] + [ridge]
    ys = [point.gops for point in points] + [peak]
    x0, x1 = math.floor(math.log10(min(xs) / 1.5)), math.ceil(math.log10(max(xs) * 1.5))
    y0, y1 = math.floor(math.log10(min(ys) / 1.5)), math.ceil(math.log10(max(ys) * 1.5))
    left, bottom, top, right = 64, height - 44, 18, width - 16

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (math.log10(x) - x0) / (x1 - x0) * (right - left),
            bottom - (math.log10(y) - y0) / (y1 - y0) * (bottom - top),
        )

    body = []
    for decade in range(x0, x1 + 1):
        x, _ = at(10.0**decade, 1)
        body.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{_GRID}"/>')
        body.append(_text(x, bottom + 16, f"{10.0**decade:g}", "middle", 11))
    for decade in range(y0, y1 + 1):
        _, y = at(1, 10.0**decade)
        body.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{_GRID}"/>')
        body.append(_text(left - 8, y + 4, f"{10.0**decade:g}", "end", 11))
    low = max(10.0**x0, 10.0**y0 / bandwidth)
    roof = [at(low, low * bandwidth), at(ridge, peak), at(10.0**x1, peak)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in roof)
    body.append(f'<polyline points="{path}" fill="none" stroke="{_INK}" stroke-width="2"/>')
    for point in points:
        x, y = at(point.ops_per_byte, point.gops)
        title = f"{point.name}: {point.gops:.0f} GOPS at {point.ops_per_byte:.0f} ops/byte"
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[point.part]}" fill-opacity="0.7">'
            f"<title>{escape(title)}</title></circle>"
        )
    body.append(_text((left + right) / 2, height - 8, "operations per byte of DRAM traffic", "middle"))
    body.append(
        _text(right, at(ridge, peak)[1] - 12, f"peak {peak:,.0f} GOPS (MAC and shifter array)", "end", 11)
    )
    body.append(_text(left + 8, top + 4, "GOPS", size=11))
    return _svg(width, height, body, "Roofline")


def bars(
    rows: Sequence[tuple[str, float]], unit: str, width: int = 520, colour: str = "#0072B2", left: int = 170
) -> str:
    """Return a chart of horizontal bars with their values.

    Args:
        rows: Label and value; values are not negative.
        unit: Unit of the values.
        width: Width of the chart in pixels.
        colour: Colour of the bars.
        left: Width of the labels in pixels.

    Returns:
        SVG text.
    """
    row = 24
    largest = max((value for _, value in rows), default=0.0) or 1.0
    body = []
    for line, (label, value) in enumerate(rows):
        y = 6 + row * line
        length = value / largest * (width - left - 110)
        body.append(_text(left - 8, y + 14, label, "end"))
        body.append(_rect(left, y, length, 17, colour))
        body.append(_text(left + length + 6, y + 14, f"{value:,.3g} {unit}"))
    return _svg(width, 12 + row * len(rows), body, "Bars")


def shares(
    rows: Sequence[tuple[str, dict[str, float]]], whole: float, colours: dict[str, str], width: int = 620
) -> str:
    """Return a chart with one stacked bar per row.

    Args:
        rows: Label, and the parts of the bar by name.
        whole: Value of a full bar.
        colours: Colour of each part, by its name.
        width: Width of the chart in pixels.

    Returns:
        SVG text.
    """
    left, row = 150, 26
    body = []
    for line, (label, parts) in enumerate(rows):
        y, x = 6 + row * line, float(left)
        body.append(_text(left - 8, y + 14, label, "end"))
        body.append(_rect(left, y, width - left - 20, 18, "#eee"))
        for name, value in parts.items():
            length = value / whole * (width - left - 20)
            if length > 0:
                title = f"{name}: {value:,.0f} cycles, {value / whole:.1%}"
                body.append(_rect(x, y, length, 18, colours.get(name, "#d4d4d4"), title))
                x += length
    return _svg(width, 12 + row * len(rows), body, "Shares")
