"""Chart of ``p2vit compare``: latencies, and organisations at equal size."""

from collections.abc import Mapping, Sequence
from typing import Any

from p2vit.report.charts.svg import BLUE, GREY, SIZE, SOFT, VERMILION, document, rect, text

WIDTH, ROW, BAR = 480, 38, 12
#: Colour of a bar by the kind of its figure.
COLOURS = {"published": GREY, "modelled": BLUE, "measured": VERMILION}
#: Space right of the longest bar, for its value.
VALUE = 90


def comparison_chart(rows: Sequence[Mapping[str, Any]], peers: Sequence[Mapping[str, Any]]) -> str:
    """Return bars of the latencies, one group per model, and of the utilization of every organisation.

    The label stands above its bar, so that the chart is readable on a narrow screen.

    Args:
        rows: Rows of the comparison; those without a latency have no bar.
        peers: Organisations at equal size; those without a utilization have no bar.
    """
    groups: list[tuple[str, str, list[tuple[str, float, str]]]] = []
    for model in dict.fromkeys(row["model"] for row in rows):
        latencies = [
            (
                f"{row['system']}, batch {row['batch']} ({row['kind']})",
                row["latency_ms"],
                COLOURS[row["kind"]],
            )
            for row in rows
            if row["model"] == model and row["latency_ms"]
        ]
        groups.append((f"{model}: latency of one batch", "ms", latencies))
    for model in dict.fromkeys(row["model"] for row in peers):
        shares = [
            (row["title"], 100 * row["utilization"], BLUE)
            for row in peers
            if row["model"] == model and row["utilization"]
        ]
        groups.append((f"{model}: utilization of {peers[0]['multipliers']:,} multipliers", "%", shares))
    body: list[str] = []
    y = 0.0
    for title, unit, bars in groups:
        y += 24
        body.append(text(8, y, title, size=SIZE + 1, more='font-weight="600"'))
        largest = 100.0 if unit == "%" else max((value for _, value, _ in bars), default=1.0)
        for label, value, colour in bars:
            length = value / largest * (WIDTH - 16 - VALUE)
            body.append(text(8, y + 20, label, more=f'fill="{SOFT}"'))
            body.append(rect(8, y + 25, length, BAR, colour, hint=f"{label}: {value:,.4g} {unit}"))
            body.append(text(14 + length, y + 35, f"{value:,.3g} {unit}"))
            y += ROW
        y += 14
    return document(WIDTH, y + 8, body, "Published, measured and modelled systems", own_size=True)
