import pytest

from p2vit.accel.explore.space import Budget, Space, known_spaces, load_space
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.workflows.explore import generated_machine

PAPER = load_machine("paper")


@pytest.mark.parametrize("hardware", ["edge", "fpga", "paper", "server"])
def test_the_space_of_chunks_fits_shipped_machines(hardware):
    load_space("chunks").check(load_machine(hardware), "chunks")


@pytest.mark.parametrize("hardware", ["rtl", "rtl-small", "rtl-wide"])
def test_the_space_of_sizes_fits_machines_that_can_be_generated(hardware):
    load_space("rtl").check(load_machine(hardware), "rtl", generated_machine)


def test_every_space_is_tested():
    assert known_spaces() == ["chunks", "rtl"]


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
