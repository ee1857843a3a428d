import pytest

from p2vit.accel.explore.point_evaluator import evaluator
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.resolve import workload_of
from p2vit.cluster import ClusterOptions, open_pool

PAPER, WORKLOADS = load_machine("paper"), {8: workload_of("digits")}
POINTS = [{"clock_mhz": mhz, "weight_bits": 8} for mhz in (100, 200, 300, 400, 500)]


def figures(workers):
    with open_pool(ClusterOptions(workers=workers)) as pool:
        return evaluator(PAPER, WORKLOADS, pool)(POINTS)


def test_workers_keep_the_order():
    pytest.importorskip("joblib")
    assert figures(1) == figures(2)


def test_no_points():
    with open_pool(ClusterOptions()) as pool:
        assert evaluator(PAPER, WORKLOADS, pool)([]) == []
