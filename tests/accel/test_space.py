import pytest

from p2vit.accel.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.space import Budget, Space, known_spaces, load_space

PAPER = load_machine("paper")


@pytest.mark.parametrize("name", known_spaces())
@pytest.mark.parametrize("hardware", ["edge", "fpga", "paper", "server"])
def test_shipped_spaces_fit_shipped_machines(name, hardware):
    load_space(name).check(load_machine(hardware), name)


def test_size():
    space = Space(parameters={"clock_mhz": (100, 200), "chunks.gelu.lanes": (1, 2, 3)}, weight_bits=(4, 8))
    assert space.size == 12


def test_wrong_paths_values_and_budgets_all_at_once():
    space = Space(parameters={"clock_mz": (1,), "chunks.gelu.lanes": (0,)}, budget=Budget(dsps=100))
    with pytest.raises(
        AccelError, match=r"(?s)3 problems.*did you mean 'clock_mhz'.*greater than or equal.*dsps: paper"
    ):
        space.check(PAPER, "space.yaml")


def test_unknown_space_suggests():
    with pytest.raises(AccelError, match="did you mean 'chunks'"):
        load_space("chunk")


def test_excess_over_a_budget():
    assert Budget(latency_ms=10, area_mm2=4).excess({"latency_ms": 15, "area_mm2": 2}) == [0.5, -0.5]
