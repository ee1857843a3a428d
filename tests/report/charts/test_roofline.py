import xml.etree.ElementTree as ElementTree

from p2vit.accel.explain import roofline
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of
from p2vit.report.charts.roofline import roofline_plot


def test_one_point_for_each_linear_layer():
    run = simulate(workload_of("deit_tiny_patch16_224"), load_machine("paper"), "events")
    points = roofline(run)
    root = ElementTree.fromstring(roofline_plot(run, points))
    assert len(root.findall(".//{http://www.w3.org/2000/svg}circle")) == len(points) > 12
