from xml.etree import ElementTree

from p2vit.report.charts.comparison import COLOURS, WIDTH, comparison_chart

SPACE = "{http://www.w3.org/2000/svg}"
ROWS = [
    {"model": "m", "system": "gpu", "batch": 1, "kind": "published", "latency_ms": 2.0},
    {"model": "m", "system": "ours", "batch": 1, "kind": "modelled", "latency_ms": 4.0},
    {"model": "m", "system": "none", "batch": None, "kind": "published", "latency_ms": None},
]
PEERS = [
    {"model": "m", "title": "one <engine>", "utilization": 0.5, "multipliers": 2560},
    {"model": "m", "title": "does not fit", "utilization": None, "multipliers": 2560},
]


def bars(text):
    return ElementTree.fromstring(text).findall(f"{SPACE}rect")


def test_one_bar_per_figure_in_the_colour_of_its_kind():
    gpu, ours, peer = bars(comparison_chart(ROWS, PEERS))
    assert [bar.get("fill") for bar in (gpu, ours)] == [COLOURS["published"], COLOURS["modelled"]]
    assert float(ours.get("width")) == 2 * float(gpu.get("width"))
    assert float(peer.get("width")) == float(ours.get("width")) / 2  # 50 % of the full width


def test_bars_and_values_stay_inside():
    chart = comparison_chart(ROWS, PEERS)
    assert all(float(bar.get("x")) + float(bar.get("width")) < WIDTH - 60 for bar in bars(chart))
    assert "one &lt;engine&gt;" in chart


def test_without_peers_there_are_latencies_alone():
    assert len(bars(comparison_chart(ROWS, []))) == 2
