"""Charts as SVG text. The same data give the same bytes."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 78
MOST_NAMES = 26
COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0")
STYLE = "font:12px system-ui,sans-serif;fill:#37352f"


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover a range.

    Args:
        low: Smallest value.
        high: Largest value.
        most: Approximate number of ticks.
    """
    span = (high - low) or 1.0
    step = 10.0 ** floor(log10(span / most))
    for factor in (1, 2, 5, 10):
        if span / (step * factor) <= most:
            step *= factor
            break
    first, last = floor(low / step), ceil(high / step)
    return [round(index * step, 10) for index in range(first, last + 1)]


def column_names(labels: Sequence[str]) -> list[tuple[int, str]]:
    """Return the columns to label and their labels. Of many columns, only the first of each block is labelled.

    Args:
        labels: One label per column.

    Returns:
        (index of the column, label) pairs. A block's label is its name.
    """
    if len(labels) <= MOST_NAMES:
        return list(enumerate(labels))
    groups = [".".join(label.split(".")[:2]) for label in labels]
    # A column outside a block gets no label, because it would overlap the label of the next block.
    first = [
        index
        for index, group in enumerate(groups)
        if (index == 0 or group != groups[index - 1]) and groups.count(group) > 1
    ]
    stride = max(1, ceil(len(first) / MOST_NAMES))
    return [(index, groups[index]) for index in first[::stride]]


class Canvas:
    """A chart area with a vertical scale and labelled columns.

    Args:
        labels: One label per column.
        ticks: Values of the horizontal grid lines.
        unit: Unit of the vertical axis.
        title: Title of the chart, also for screen readers.
    """

    def __init__(self, labels: Sequence[str], ticks: Sequence[float], unit: str, title: str) -> None:
        self.labels, self.ticks = labels, ticks
        self.step = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" style="{STYLE}">',
            f"<title>{escape(title)}</title>",
            f'<text x="4" y="16">{escape(unit)}</text>',
        ]
        for tick in ticks:
            y = self.y(tick)
            self.parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#e3e2e0"/>')
            self.parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        for index, text in column_names(labels):
            x, y = self.x(index), HEIGHT - BOTTOM + 12
            self.parts.append(
                f'<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-45 {x} {y})" '
                f'style="font-size:10px">{escape(text)}</text>'
            )

    def x(self, index: int) -> float:
        """Return the x coordinate of the middle of a column."""
        return round(LEFT + (index + 0.5) * self.step, 1)

    def y(self, value: float) -> float:
        """Return the y coordinate of a value."""
        low, high = self.ticks[0], self.ticks[-1]
        share = (min(max(value, low), high) - low) / ((high - low) or 1)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def legend(self, names: Sequence[str]) -> None:
        """Add a legend of the colours at the top right."""
        x: float = WIDTH - RIGHT
        for index in reversed(range(len(names))):
            x -= 7 * len(names[index]) + 26
            self.parts.append(f'<rect x="{x}" y="6" width="12" height="12" fill="{COLOURS[index]}"/>')
            self.parts.append(f'<text x="{x + 17}" y="16">{escape(names[index])}</text>')

    def finish(self) -> str:
        """Return the SVG text."""
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def line_chart(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str, title: str
) -> str:
    """Return a line chart over labelled columns.

    Args:
        labels: One label per column.
        series: Name → values; None leaves a gap.
        unit: Unit of the values.
        title: Title of the chart.
    """
    values = [value for line in series.values() for value in line if value is not None] or [0.0]
    canvas = Canvas(labels, nice_ticks(min(0.0, *values), max(values)), unit, title)
    for colour, line in zip(COLOURS, series.values(), strict=False):
        points = [(canvas.x(index), canvas.y(value)) for index, value in enumerate(line) if value is not None]
        path = " ".join(f"{x},{y}" for x, y in points)
        canvas.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        canvas.parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points]
    canvas.legend(list(series))
    return canvas.finish()


def bar_chart(
    labels: Sequence[str],
    lows: Sequence[float],
    highs: Sequence[float],
    unit: str,
    title: str,
    limit: tuple[float, str] | None = None,
) -> str:
    """Return a chart of bars that each go from a low to a high value.

    Args:
        labels: One label per bar.
        lows: Lower end of each bar.
        highs: Upper end of each bar.
        unit: Unit of the values.
        title: Title of the chart.
        limit: Value and label of a line across the chart.
    """
    edge = [limit[0]] if limit else []
    canvas = Canvas(
        labels, nice_ticks(min([*lows, *highs, *edge, 0]), max([*lows, *highs, *edge, 0])), unit, title
    )
    width = round(max(canvas.step * 0.7, 1.5), 1)
    for index, (low, high) in enumerate(zip(lows, highs, strict=True)):
        top, bottom = canvas.y(high), canvas.y(low)
        # A bar whose ends are equal must still be visible.
        height = max(round(bottom - top, 1), 3)
        canvas.parts.append(
            f'<rect x="{canvas.x(index) - width / 2:.1f}" y="{top}" width="{width}" height="{height}" '
            f'fill="{COLOURS[0]}"><title>{escape(labels[index])}: {low:g} .. {high:g}</title></rect>'
        )
    if limit:
        y = canvas.y(limit[0])
        canvas.parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#e03e3e" stroke-width="2"/>'
        )
        canvas.parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{y - 5}" text-anchor="end" fill="#e03e3e">{escape(limit[1])}</text>'
        )
    return canvas.finish()


def sensitivity_plot(blocks: Sequence[Mapping[str, object]]) -> str:
    """Return a chart of the SQNR after each block: of the block alone (local), and of all blocks so far (cumulative).

    Args:
        blocks: Rows with ``name``, ``local_sqnr_db`` and ``cumulative_sqnr_db``.
    """

    def column(key: str) -> list[float | None]:
        return [float(str(row[key])) if row[key] is not None else None for row in blocks]

    return line_chart(
        [str(row["name"]) for row in blocks],
        {"local": column("local_sqnr_db"), "cumulative": column("cumulative_sqnr_db")},
        "SQNR, dB",
        "Signal-to-quantization-noise ratio after each block",
    )


def ranked_bars(rows: Sequence[tuple[str, float]], unit: str, title: str) -> str:
    """Return a chart of horizontal bars with their names, in the given order.

    Args:
        rows: Name and value of each bar.
        unit: Unit of the values.
        title: Text above the bars.
    """
    line, name_width, most = 22, 360, max([value for _, value in rows] + [1e-9])
    height = 34 + line * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" style="{STYLE}">',
        f'<text x="4" y="18" style="font-weight:600">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(rows):
        y = 34 + index * line
        width = round(max(value, 0) / most * (WIDTH - name_width - 80), 1)
        parts.append(f'<text x="{name_width - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{name_width}" y="{y}" width="{width}" height="{line - 6}" fill="{COLOURS[0]}"/>'
        )
        parts.append(f'<text x="{name_width + width + 6}" y="{y + 13}">{value:.2f} {escape(unit)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
