"""Charts of horizontal bars."""

from collections.abc import Mapping, Sequence

from p2vit.report.charts.svg import BLUE, EMPTY, document, rect, text

ROW, BAR = 24, 17


def bars(
    rows: Sequence[tuple[str, float]],
    unit: str,
    title: str,
    *,
    width: int = 520,
    labels: int = 170,
    colour: str = BLUE,
) -> str:
    """Return a chart of horizontal bars with their values, in the given order.

    Args:
        rows: Label and value; a negative value has no bar.
        unit: Unit of the values.
        title: Text above the bars.
        width: Width of the chart in pixels.
        labels: Width of the labels in pixels.
        colour: Colour of the bars.
    """
    largest = max((value for _, value in rows), default=0.0) or 1.0
    body = [text(4, 16, title, more='font-weight="600"')]
    for index, (label, value) in enumerate(rows):
        y = 28 + ROW * index
        length = max(value, 0.0) / largest * (width - labels - 110)
        body.append(text(labels - 8, y + 13, label, anchor="end"))
        body.append(rect(labels, y, length, BAR, colour))
        body.append(text(labels + length + 6, y + 13, f"{value:,.4g} {unit}"))
    return document(width, 34 + ROW * len(rows), body, title)


def shares(
    rows: Sequence[tuple[str, Mapping[str, float]]],
    whole: float,
    colours: Mapping[str, str],
    title: str,
    width: int = 620,
) -> str:
    """Return a chart with one stacked bar per row.

    Args:
        rows: Label, and the parts of the bar in cycles, by name.
        whole: Cycles of a full bar.
        colours: Colour of each part, by its name. Others are grey.
        title: What the chart shows.
        width: Width of the chart in pixels.
    """
    left = 150
    full = width - left - 20
    body = []
    for index, (label, parts) in enumerate(rows):
        y, x = 6 + ROW * index, float(left)
        body.append(text(left - 8, y + 13, label, anchor="end"))
        body.append(rect(left, y, full, BAR, EMPTY))
        for name, value in parts.items():
            length = value / whole * full
            if length > 0:
                hint = f"{name}: {value:,.0f} cycles, {value / whole:.1%}"
                body.append(rect(x, y, length, BAR, colours.get(name, "#d4d4d4"), hint=hint))
                x += length
    return document(width, 12 + ROW * len(rows), body, title)
