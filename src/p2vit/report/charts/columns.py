"""Charts over labelled columns, with a vertical scale."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

from p2vit.report.charts.svg import BLUE, SERIES, VERMILION, circle, document, line, polyline, rect, text

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 78
MOST_NAMES = 26


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
        self.title = title
        self.parts = [text(4, 16, unit)]
        for tick in ticks:
            y = self.y(tick)
            self.parts.append(line((LEFT, y), (WIDTH - RIGHT, y)))
            self.parts.append(text(LEFT - 8, y + 4, f"{tick:g}", anchor="end"))
        for index, name in column_names(labels):
            x, y = self.x(index), HEIGHT - BOTTOM + 12
            turned = f'transform="rotate(-45 {x} {y})"'
            self.parts.append(text(x, y, name, anchor="end", size=10, more=turned))

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
            self.parts.append(rect(x, 6, 12, 12, SERIES[index]))
            self.parts.append(text(x + 17, 16, names[index]))

    def finish(self) -> str:
        """Return the SVG text."""
        return document(WIDTH, HEIGHT, self.parts, self.title)


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
    values = [value for row in series.values() for value in row if value is not None] or [0.0]
    canvas = Canvas(labels, nice_ticks(min(0.0, *values), max(values)), unit, title)
    for colour, row in zip(SERIES, series.values(), strict=False):
        points = [(canvas.x(index), canvas.y(value)) for index, value in enumerate(row) if value is not None]
        canvas.parts.append(polyline(points, colour))
        canvas.parts += [circle(x, y, 3, colour) for x, y in points]
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
        hint = f"{labels[index]}: {low:g} .. {high:g}"
        canvas.parts.append(rect(canvas.x(index) - width / 2, top, width, height, BLUE, hint=hint))
    if limit:
        y = canvas.y(limit[0])
        canvas.parts.append(line((LEFT, y), (WIDTH - RIGHT, y), VERMILION, 2))
        canvas.parts.append(text(WIDTH - RIGHT, y - 5, limit[1], anchor="end"))
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
