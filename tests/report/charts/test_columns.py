import xml.etree.ElementTree as ElementTree

import pytest

from p2vit.report.charts.columns import bar_chart, column_names, line_chart, nice_ticks, sensitivity_plot

BLOCKS = [
    {"name": f"blocks.{index}", "local_sqnr_db": 30.0 + index, "cumulative_sqnr_db": 25.0 - index}
    for index in range(4)
]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 41.5), (0, 0), (0.001, 0.0042), (-130, -7)])
def test_ticks_cover_the_range(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 1 <= len(ticks) <= 9


@pytest.mark.parametrize(
    "text",
    [
        sensitivity_plot(BLOCKS),
        sensitivity_plot([{"name": "a<b", "local_sqnr_db": None, "cumulative_sqnr_db": 3}]),
        line_chart([], {}, "dB", "empty"),
        bar_chart(["a", "b"], [0, -4], [3, -4], "bits", "t & t", limit=(32, "int32")),
    ],
)
def test_charts_are_well_formed(text):
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")


def test_charts_are_the_same_every_time():
    assert sensitivity_plot(BLOCKS) == sensitivity_plot(BLOCKS)
    assert sensitivity_plot(BLOCKS).count("<circle") == 8


def test_many_columns_are_named_by_block():
    labels = ["patches", *(f"blocks.{block}.{part}" for block in range(12) for part in "abcdef"), "head"]
    assert column_names(labels) == [(1 + 6 * block, f"blocks.{block}") for block in range(12)]
    assert column_names(["a", "b"]) == [(0, "a"), (1, "b")]
