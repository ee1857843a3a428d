import xml.etree.ElementTree as ElementTree

from p2vit.report.charts.bars import bars, shares

NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def rects(text):
    return ElementTree.fromstring(text).findall(".//svg:rect", NAMESPACE)


def test_bars_are_as_long_as_their_values():
    drawn = rects(bars([("a < b", 4.0), ("c", 1.0), ("d", 0.0), ("e", -3.0)], "mJ", "Energy & area"))
    full, quarter, *empty = [float(rect.get("width")) for rect in drawn]
    assert abs(full / quarter - 4) < 0.01
    assert all(width < 1 for width in empty)


def test_bars_say_label_value_and_title():
    root = ElementTree.fromstring(bars([("a < b", 1234.5)], "mJ", "Energy"))
    assert [text.text for text in root.findall("svg:text", NAMESPACE)] == ["Energy", "a < b", "1,234 mJ"]


def test_no_bars_are_an_empty_chart():
    assert rects(bars([], "mJ", "Energy")) == []


def test_the_parts_of_a_stacked_bar_follow_one_another():
    drawn = rects(shares([("a", {"busy": 5.0, "x": 2.5, "none": 0.0})], 10.0, {"busy": "#000"}, "Busy"))
    whole, busy, rest = drawn
    assert float(busy.get("width")) * 2 == float(whole.get("width"))
    assert float(busy.get("x")) + float(busy.get("width")) == float(rest.get("x"))
    assert busy.find("svg:title", NAMESPACE).text == "busy: 5 cycles, 50.0%"
