import xml.etree.ElementTree as ElementTree

import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of
from p2vit.report.charts.gantt import gantt

RUN = simulate(workload_of("swin_tiny_patch4_window7_224"), load_machine("paper"), "events")


@pytest.mark.parametrize(
    "svg",
    [
        gantt(RUN, 0, RUN.timing.cycles),
        gantt(RUN, 1000, 50000),
    ],
    ids=["whole run", "window"],
)
def test_well_formed(svg):
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_long_run_is_drawn_with_few_slices():
    assert gantt(RUN, 0, RUN.timing.cycles).count("<rect") < len(RUN.timing.tiles) / 3
